"""What a check of the data says."""

from typing import Annotated, Literal

from pydantic import Field

from tunery.schema.results.record import Count, Record


class Finding(Record):
    """One thing that `tunery check` has to say."""

    level: Literal["fatal", "warning", "info"]
    code: str
    message: str
    """The rule, the value, the remedy."""
    split: str | None = None
    count: Count | None = None
    examples: Annotated[tuple[str, ...], Field(max_length=5)] = ()
