"""The base of every record."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tunery.schema.results.direction import Direction
from tunery.schema.spec import Spec, Wording

Count = Annotated[int, Field(ge=0, lt=2**63), Wording("a whole number")]
"""What is counted, in 64 bits."""


Status = Literal["completed", "pruned", "failed"]


class Record(Spec):
    """Plain data that tunery writes and reads back; metrics of a diverged run may be null."""

    model_config = ConfigDict(ser_json_inf_nan="null")


class Objective(Record):
    """The number by which runs are ranked: that of the best epoch on the validation split."""

    name: str
    value: float | None
    direction: Direction
