"""Rows become examples, by the columns that the config names."""

from collections.abc import Callable, Sequence
from typing import Any

from tunery.data.examples import JOINT, Example, RowReader
from tunery.data.reading.cells import BadCell, Unlabelled, name_of, text_of
from tunery.data.reading.source import Row
from tunery.errors import DataError, did_you_mean, enumerated
from tunery.schema.config.data import Data

_SHOWN = 3


def examples_of(
    rows: Sequence[Row], data: Data, *, reader: RowReader, source: str, remedy: str = ""
) -> tuple[Example, ...]:
    """Make one example per row; rows without a label are left out where `data.allow` has `unlabelled`.

    Args:
        source: what the rows came from, for messages.
        remedy: what to do where a column is not there, other than to change the config.

    Raises:
        DataError: a named column is not there, or cells that cannot be what their column says.
    """
    keys = [key for key in ("text_pair", "id", "group", "split") if getattr(data, key) is not None]
    texts = [] if reader.has_text else [("data.text", column) for column in data.text_columns]
    needed = [*texts, *((f"data.{key}", getattr(data, key)) for key in keys), *reader.columns]
    require_columns(needed, rows, source=source, remedy=remedy)
    examples: list[Example] = []
    problems: list[str] = []
    unlabelled: list[int] = []
    example_of = _example_maker(data, reader)
    for number, row in enumerate(rows, start=1):
        try:
            examples.append(example_of(row))
        except Unlabelled:
            unlabelled.append(number)
        except BadCell as problem:
            problems.append(f"row {number}: {problem}")
    if unlabelled and "unlabelled" not in data.allow:
        numbers = enumerated([*map(str, unlabelled)], _SHOWN)
        problems.insert(
            0,
            f"every row needs a label, but {len(unlabelled):,} of {len(rows):,} rows have none (row {numbers}); write "
            "`data.allow: [unlabelled]` to leave them out, or label them",
        )
    if problems:
        raise DataError(f"{source}: {enumerated(problems, _SHOWN, letters=500, separator='; ')}")
    if unlabelled and not examples:
        raise DataError(f"{source}: no row has a label")
    return tuple(examples)


def named_columns(names: str, rows: Sequence[Row]) -> str | tuple[str, ...]:
    """The column, or the columns with commas between, that a command line names."""
    if "," not in names or any(names in row for row in rows):
        return names
    return tuple(name.strip() for name in names.split(","))


def require_columns(needed: Sequence[tuple[str, str]], rows: Sequence[Row], *, source: str, remedy: str = "") -> None:
    """Look whether each column is in some row.

    Args:
        needed: pairs of config key and column.
        source: as in `examples_of`.
        remedy: as in `examples_of`.

    Raises:
        DataError: with all that are in none.
    """
    columns = dict.fromkeys(column for row in rows for column in row)
    problems = "; ".join(
        f"there is no column {column!r} ({key}); {did_you_mean(column, columns)}"
        for key, column in needed
        if column not in columns
    )
    if problems:
        stop = "" if problems.endswith("?") else "."
        raise DataError(f"{source}: {problems}{stop} Columns there: {enumerated([*columns])}{remedy and f'. {remedy}'}")


def _example_maker(data: Data, reader: RowReader) -> Callable[[Row], Example]:
    texts, pair, name, group = data.text_columns, data.text_pair, data.id, data.group

    def example(row: Row) -> Example:
        annotation = reader.read(row)
        text = annotation.text
        return Example(
            JOINT.join([_read(text_of, row, column) or "" for column in texts]) if text is None else text,
            _read(text_of, row, pair),
            annotation.labels,
            _read(name_of, row, name),
            _read(name_of, row, group),
            annotation.target,
            annotation.number,
        )

    return example


def _read(read: Callable[[Any], str | None], row: Row, column: str | None) -> str | None:
    if column is None:
        return None
    try:
        return read(row.get(column))
    except BadCell as problem:
        raise BadCell(f"column {column!r} {problem}") from problem
