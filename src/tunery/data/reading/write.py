"""Rows become the text of a file that `load` reads back."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tunery.data.reading.cells import text_of

_ROUNDED: Final = ".6g"
"""Numbers that a model computes have no more digits than this that mean something."""


def rounded(value: float) -> float:
    """A probability without the digits that mean nothing."""
    return float(f"{value:{_ROUNDED}}")


def _json_line(row: Mapping[str, Any]) -> str:
    """Text as it is, but in escapes where it is no Unicode: half of a surrogate pair."""
    text = json.dumps(row, ensure_ascii=False, default=str)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(row, default=str)
    return text


def _table(rows: Sequence[Mapping[str, Any]], *, delimiter: str) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines: list[list[Any]] = [columns, *([row.get(column) for column in columns] for row in rows)]
    return "".join((delimiter.join(_cell(value, delimiter) for value in line) or '""') + "\n" for line in lines)


def _cell(value: Any, delimiter: str) -> str:
    """A value as `cells` reads it back: nothing for what is missing, JSON for what has parts.

    It is quoted where it must be. `csv` leaves a bare carriage return unquoted, which then ends the line.
    """
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple | dict) else text_of(value)
    if any(character in text for character in (delimiter, '"', "\n", "\r")):
        return '"' + text.replace('"', '""') + '"'
    return text


WRITERS: Final[dict[str, Callable[[Sequence[Mapping[str, Any]]], str]]] = {
    ".jsonl": lambda rows: "".join(f"{_json_line(row)}\n" for row in rows),
    ".csv": lambda rows: _table(rows, delimiter=","),
    ".tsv": lambda rows: _table(rows, delimiter="\t"),
}
"""How each kind of file is written, by suffix."""
