"""The base of every record."""

from html import escape
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

    def _repr_html_(self) -> str:
        """What a notebook shows: the same as `repr`, as a table."""
        rows = [
            f"<tr><th style='text-align:left'>{escape(name or '')}</th><td style='text-align:left'>"
            f"{escape(repr(value))}</td></tr>"
            for name, value in self.__repr_args__()
        ]
        return f"<table><caption>{escape(type(self).__name__)}</caption>{''.join(rows)}</table>"


class Objective(Record):
    """The number by which runs are ranked: that of the best epoch on the validation split."""

    name: str
    value: float | None
    direction: Direction
