"""The base of every piece of plain data, and the ranges a searchable field carries beside it."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class Spec(BaseModel):
    """Frozen, closed plain data: an unknown key is an error, a value never changes."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, protected_namespaces=()
    )


@dataclass(frozen=True)
class Wording:
    """Says what values a type takes, where the type itself says too little."""

    text: str


@dataclass(frozen=True)
class Range:
    """A numeric search range, both ends included. `Annotated` beside a field, it is that field's default range."""

    low: float
    high: float
    log: bool = False
    step: float | None = None


@dataclass(frozen=True)
class Choices:
    """A categorical search domain. `Annotated` beside a field, it is that field's default domain."""

    values: tuple[Any, ...]


Domain = Range | Choices

Steps = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""A number of optimizer steps."""

Width = Annotated[int, Field(ge=1, le=65_536)]
"""The rank or the width of a matrix: beyond every model's own."""
