"""One cell of any format becomes a text, a name, or a list of names.

The rules are the same for every format, so that one data set saved as csv and as jsonl gives the same labels.
"""

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

_INTEGRAL = re.compile(r"[-+]?\d+\.0+")


class BadCell(ValueError):
    """What a cell should be and is not; the caller knows row and file."""


def name_of(cell: Any) -> str | None:
    """A label, id or group as a string: stripped, whole numbers without `.0`; None where the cell is empty."""
    if _missing(cell):
        return None
    if isinstance(cell, list | tuple | dict):
        raise BadCell(f"must hold one value, but got {_short(cell)}")
    name = str(cell).strip()
    return name.partition(".")[0] if _INTEGRAL.fullmatch(name) else name or None


def names_of(cell: Any, *, separator: str) -> tuple[str, ...]:
    """The labels of a multilabel cell, each once, in order; none where the cell is empty.

    A list is taken as it is. A string that starts with `[` is a JSON list (or a list as Python prints it);
    any other string is cut at `separator`.
    """
    if isinstance(cell, str):
        cell = _listed(cell.strip()) if cell.lstrip().startswith("[") else cell.split(separator)
        names = [name for name in map(name_of, cell) if name is not None]
    elif isinstance(cell, list | tuple):
        names = [_present(name_of(part), cell) for part in cell]
    else:
        names = [name for name in [name_of(cell)] if name is not None]
    return tuple(dict.fromkeys(names))


def joined(names: Sequence[str], *, separator: str) -> str:
    """A cell that `names_of` reads as these names: with the separator between them, or as a JSON list."""
    text = separator.join(names)
    try:
        return text if names_of(text, separator=separator) == tuple(names) else json.dumps(names, ensure_ascii=False)
    except BadCell:
        return json.dumps(names, ensure_ascii=False)


def flag_of(cell: Any) -> bool:
    """Whether a 0/1 cell says yes; an empty one says no."""
    name = (name_of(cell) or "0").lower()
    if name not in ("0", "1", "false", "true"):
        raise BadCell(f"must hold 0 or 1, but got {_short(cell)}")
    return name in ("1", "true")


def text_of(cell: Any) -> str:
    """A text; the empty string where the cell is empty. Halves of surrogate pairs become U+FFFD."""
    if _missing(cell):
        return ""
    if isinstance(cell, list | tuple | dict):
        raise BadCell(f"must hold a text, but got {_short(cell)}")
    text = str(cell)
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _missing(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and cell != cell)


def _listed(text: str) -> list[Any]:
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text)
        except (ValueError, SyntaxError):
            continue
        if isinstance(value, list):
            return value
    raise BadCell(f"starts like a list and is not a JSON list: {_short(text)}")


def _present(name: str | None, cell: Any) -> str:
    if name is None:
        raise BadCell(f"must hold a list of names, but one of them is empty: {_short(cell)}")
    return name


def _short(cell: Any) -> str:
    text = repr(cell)
    return text if len(text) <= 60 else f"{text[:57]}..."
