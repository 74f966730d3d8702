"""Rows become the text of a file that `load` reads back."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tunery.data.reading.cells import text_of

_ROUNDED: Final = ".6g"
"""Numbers that a model computes have no more digits than this that mean something."""


def rounded(value: float) -> float:
    """A probability with as many digits as it deserves."""
    return float(f"{value:{_ROUNDED}}")


def _jsonl(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(f"{_object(row)}\n" for row in rows)


def _object(row: Mapping[str, Any]) -> str:
    """Text as it is, but in escapes where it is no Unicode: half of a surrogate pair."""
    text = json.dumps(row, ensure_ascii=False, default=str)
    return text if text.isascii() or _is_unicode(text) else json.dumps(row, default=str)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _table(rows: Sequence[Mapping[str, Any]], *, delimiter: str) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
    quoted = [delimiter.join(_quoted(cell, delimiter) for cell in line) or '""' for line in lines]
    return "".join(f"{line}\n" for line in quoted)


def _quoted(cell: str, delimiter: str) -> str:
    """In quotes where it must be. `csv` leaves a bare carriage return unquoted, which then ends the line."""
    must = any(character in cell for character in (delimiter, '"', "\n", "\r"))
    return '"' + cell.replace('"', '""') + '"' if must else cell


def _cell(value: Any) -> str:
    """A cell as `cells` reads it back: nothing for what is missing, JSON for what has parts."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple | dict) else text_of(value)


WRITERS: Final[dict[str, Callable[[Sequence[Mapping[str, Any]]], str]]] = {
    ".jsonl": _jsonl,
    ".csv": lambda rows: _table(rows, delimiter=","),
    ".tsv": lambda rows: _table(rows, delimiter="\t"),
}
"""How each kind of file is written, by suffix."""
