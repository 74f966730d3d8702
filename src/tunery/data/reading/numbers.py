"""The number of a row."""

import re
from typing import Any, Final

from tunery.data.examples import Annotation, RowReader
from tunery.data.reading.cells import BadCell, Unlabelled, name_of
from tunery.schema.config.data import Data

_NUMBER: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_COMMA: Final = re.compile(r"[-+]?\d*,\d+", re.ASCII)
_LARGEST: Final = 1e100
"""Whose square is still a number."""


def one_number(data: Data, *, ordinal: bool) -> RowReader:
    """Of rows with exactly one number, in the column `data.label`.

    Args:
        ordinal: whether it is a level, whose name is the row's label too.
    """

    def read(row: dict[str, Any]) -> Annotation:
        try:
            number = number_of(row.get(data.label))
        except BadCell as problem:
            raise BadCell(f"column {data.label!r} {problem}") from None
        if number is None:
            raise Unlabelled(f"column {data.label!r} is empty; every row needs one number")
        return Annotation(labels=(level_name(number),) if ordinal else (), number=number)

    return RowReader(columns=(("data.label", data.label),), read=read)


def number_of(cell: Any) -> float | None:
    """The number in a cell; None where it is empty."""
    text = name_of(cell)
    if text is None:
        return None
    if isinstance(cell, bool) or _NUMBER.fullmatch(text) is None:
        comma = ", with a decimal point" if _COMMA.fullmatch(text) else ""
        raise BadCell(f"must hold a number{comma}, but got {cell if isinstance(cell, bool) else text[:60]!r}")
    number = float(text)
    if not abs(number) <= _LARGEST:
        raise BadCell(f"must hold a number of at most {_LARGEST:g}, but got {text[:60]}")
    return number + 0.0  # and not -0.0


def level_name(number: float) -> str:
    """How a level is called: as a whole number where it is one, whatever the file wrote."""
    return str(int(number)) if number.is_integer() else repr(number)
