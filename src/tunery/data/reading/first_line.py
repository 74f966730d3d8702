"""Whether the first line of a table names its columns, or is a row that would be lost.

A row gives itself away in two ways: one of its cells is a value of its own column, which repeats its values; or one is
a date, an address or a number of the very sort that stands below it. That a cell is long or ends like a sentence proves
nothing, since surveys have their questions there: the line is then taken for names, and that is said.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from tunery.data.reading.source import Malformed, Row
from tunery.errors import shortened

UNNAMED: Final = "column_"
"""How a column without a name is called, with its number behind."""
_SORTS: Final = {
    "an address": re.compile(r"(?:https?://|www\.)\S+|[^\s@]+@[^\s@]+\.\w+", re.IGNORECASE),
    "a date": re.compile(
        r"(?:\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.]\d{2,4})(?:,?[ T]\d.*)?"
        r"|(?:[A-Z][a-z]{2},? )?(?:[A-Z][a-z]{2} \d\d?|\d\d? [A-Z][a-z]{2}),? \d.*"
    ),
    "a number": re.compile(r"[-+]?(?:\d{1,40}(?:\.\d{1,40})?|\.\d{1,40})", re.ASCII),
}
"""Of cells that are no names, or seldom."""
_LOOKED_AT: Final = 100
"""Rows, from everywhere, whose cells are compared with the first line."""
_FEWEST: Final = 5
"""Cells of a column below which it is of no sort."""
_MOST: Final = 0.95
"""Share of the cells of a column that are of its sort."""
_LONG: Final = 5
"""Digits from which a whole number is no year and no place in a list, as names of columns are."""
_WORDS: Final = 5
"""Words from which a cell reads like a text."""


def column_names(header: Sequence[str]) -> tuple[str, ...]:
    """What a first line calls its columns."""
    return tuple(cell.strip() or f"{UNNAMED}{number}" for number, cell in enumerate(header, start=1))


def doubt_about_names(header: Sequence[str], rows: Sequence[Row]) -> str | None:
    """What has to be said where a first line is taken for names although it may be a row; None where it is not.

    Args:
        header: the cells of the line, stripped.
        rows: those below it, by `column_names`; one at least.

    Raises:
        Malformed: the line is a row.
    """
    texts = [cell for cell in header if len(cell.split()) >= _WORDS]
    sign = _value_that_returns(header, rows)
    if sign is None and (texts or any(map(_sort, header))):
        some = rows[:: max(1, len(rows) // _LOOKED_AT)]
        filled = {name: [cell for row in some if (cell := _text(row[name]))] for name in header if name}
        sorts = {name: sort for name, cells in filled.items() if (sort := _sort_of_most(cells))}
        if any(_sort(name) != sort for name, sort in sorts.items()):
            return None  # what stands below this name is of another sort
        for name, sort in sorts.items():
            if sort != "a number" or _is_such_a_number(name, header, filled[name], rows):
                sign = f"{shortened(name, 40)!r} is {sort}, as what stands below it"
        texts = [text for text in texts if sum(len(cell.split()) for cell in filled[text]) > _WORDS * len(filled[text])]
    columns = shortened(",".join(_likely_names(header, rows)), 200) if sign or texts else ""
    if sign:
        raise Malformed(
            f"the first line must name the columns, but it looks like a row: {sign}. Name the columns in their order: "
            f"--columns {columns} (of `tunery init`, `predict` and `evaluate`), or `data.columns: "
            f"[{columns.replace(',', ', ')}]` in a config; if the line names them after all, repeat its names there"
        )
    if not texts:
        return None
    return (
        f"the first line is taken for the names of the columns, although {shortened(texts[0], 40)!r} is as long as a "
        f"text; if it is a row, name them: --columns {columns}"
    )


def _value_that_returns(header: Sequence[str], rows: Sequence[Row]) -> str | None:
    for name in filter(None, header):
        cells = [row[name] for row in rows]
        again = cells.count(name)
        is_tick = again < len(cells) and all(cell in (name, "", None) for cell in cells)  # of a box, as surveys have it
        if again and not is_tick and 2 * len(set(cells)) <= len(cells) + 1:
            return f"{shortened(name, 40)!r} is {again:,} times a value of its own column"
    return None


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


def _sort(cell: str) -> str | None:
    return next((sort for sort, form in _SORTS.items() if form.fullmatch(cell)), None)


def _sort_of_most(cells: Sequence[str]) -> str | None:
    if len(cells) < _FEWEST:
        return None
    [(sort, count)] = Counter(map(_sort, cells)).most_common(1)
    return sort if count >= _MOST * len(cells) else None


def _is_such_a_number(name: str, header: Sequence[str], cells: Sequence[str], rows: Sequence[Row]) -> bool:
    """Whether a number belongs to those below it: with a fraction as they have, as long as they are, or one less than
    the first of them, from where they count up. Names that number the columns do not."""

    def most(are: Sequence[bool]) -> bool:
        return sum(are) >= _MOST * len(are)

    if not name.isdecimal():
        return "." in name and most(["." in cell for cell in cells])
    if len(name) >= _LONG:
        return most([cell.isdecimal() and abs(len(cell) - len(name)) <= 1 for cell in cells])
    numbered = [cell for cell in header if cell]
    if any(numbered == [str(start + place) for place in range(len(numbered))] for start in (0, 1)):
        return False
    counted = [str(int(name) + step) for step in range(1, _FEWEST + 1)]
    return [_text(row[name]) for row in rows[:_FEWEST]] == counted


def _likely_names(header: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """For a message: the columns of a file without header, as far as their parts can be seen."""
    names = column_names(header)
    some = rows[:1000]
    length = {name: sum(len(str(row[name])) for row in some) for name in names}
    different = {name: len({row[name] for row in some}) for name in names}
    text = max(names, key=lambda name: length[name])
    label = min((name for name in names if name != text), key=lambda name: different[name], default=None)
    parts = {text: "text", label: "label"}
    return [parts.get(name, f"{UNNAMED}{number}") for number, name in enumerate(names, start=1)]
