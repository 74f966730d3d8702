"""Bytes as people read and write them."""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from tunery.schema.spec import Wording

_FACTORS: Final = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SIZE: Final = re.compile(r"\s*(\d{1,30}(?:\.\d{1,30})?)\s*([kmgt]?b)?\s*", re.IGNORECASE)


def in_bytes(value: object) -> object:
    """Bytes of a size with its unit (`20GB`); what is no such text is left to the schema."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    return round(float(match[1]) * _FACTORS.get((match[2] or "").lower(), 1)) if match else value


Size = Annotated[
    int,
    BeforeValidator(in_bytes, json_schema_input_type=int | str),
    Field(gt=0, le=10**18),
    Wording("a size above 0 and up to 1,000,000 TB such as 500MB or 20GB, or a number of bytes"),
]
"""Bytes, 1 kB = 1000 B."""


def size_text(count: float) -> str:
    """Bytes with three digits and a decimal unit: `999 B`, `1.23 MB`, `2,400.0 TB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
