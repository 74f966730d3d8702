"""The labels of a row, by the columns that the config names."""

from collections.abc import Sequence
from typing import Any, Final

from tunery.data.examples import Annotation, RowReader
from tunery.data.reading.cells import BadCell, Unlabelled, flag_of, label_of, names_of
from tunery.schema.config.data import Data

_MOST_CACHED: Final = 10_000
"""Different cells that are read once."""


def one_label(data: Data) -> RowReader:
    """Of rows with exactly one label, in the column `data.label`."""
    cache: dict[str, Annotation] = {}

    def read(row: dict[str, Any]) -> Annotation:
        cell = row.get(data.label)
        if isinstance(cell, str) and cell in cache:
            return cache[cell]
        try:
            name = label_of(cell)
        except BadCell as problem:
            raise BadCell(f"column {data.label!r} {problem}") from None
        if name is None:
            raise Unlabelled(f"column {data.label!r} is empty; every row needs one label")
        annotation = Annotation(labels=(name,))
        if isinstance(cell, str) and len(cache) < _MOST_CACHED:
            cache[cell] = annotation
        return annotation

    return RowReader(columns=(("data.label", data.label),), read=read)


def several_labels(data: Data) -> RowReader:
    """Of rows with any number of labels, in the columns `data.labels`; none where that is null."""
    if isinstance(data.labels, str):
        return _one_column(data.labels, separator=data.label_separator)
    return _flag_columns(data.labels or ())


def _one_column(column: str, *, separator: str) -> RowReader:
    cache: dict[str, Annotation] = {}

    def read(row: dict[str, Any]) -> Annotation:
        cell = row.get(column)
        if isinstance(cell, str) and cell in cache:
            return cache[cell]
        try:
            annotation = Annotation(labels=names_of(cell, separator=separator))
        except BadCell as problem:
            raise BadCell(f"column {column!r} {problem}") from None
        if isinstance(cell, str) and len(cache) < _MOST_CACHED:
            cache[cell] = annotation
        return annotation

    return RowReader(columns=(("data.labels", column),), read=read)


def _flag_columns(columns: Sequence[str]) -> RowReader:
    def flag(row: dict[str, Any], column: str) -> bool:
        try:
            return flag_of(row.get(column))
        except BadCell as problem:
            raise BadCell(f"column {column!r} {problem}") from None

    def read(row: dict[str, Any]) -> Annotation:
        return Annotation(labels=tuple(column for column in columns if flag(row, column)))

    return RowReader(columns=tuple(("data.labels", column) for column in columns), read=read)
