"""Named arrays with one entry a row: what is true of rows, and the little of a model's answers that metrics need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_SHAPES: Final = ".shapes"


@final
@dataclass(frozen=True)
class RowTable:
    """Columns of equal length. Where entries differ in shape, the column is an array of objects, which are arrays."""

    columns: Mapping[str, Array]

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    def __len__(self) -> int:
        """How many rows."""
        return len(next(iter(self.columns.values())))

    def take(self, rows: Any) -> "RowTable":
        """Some of the rows, by numbers or by a mask."""
        return RowTable({name: column[rows] for name, column in self.columns.items()})

    def flat(self) -> dict[str, Array]:
        """The columns without objects: entries of different shape one after the other, and their shapes as
        `<name>.shapes` (rows, dimensions)."""
        result: dict[str, Array] = {}
        for name, column in self.columns.items():
            if column.dtype == object:
                result[name] = np.concatenate([np.ravel(entry) for entry in column])
                result[f"{name}{_SHAPES}"] = np.array([np.shape(entry) for entry in column], dtype=np.int64)
            else:
                result[name] = column
        return result

    @classmethod
    def of_flat(cls, flat: Mapping[str, Array]) -> "RowTable":
        """The table that `flat` was made of, bit for bit."""
        columns: dict[str, Array] = {}
        for name, values in flat.items():
            if name.endswith(_SHAPES):
                continue
            shapes = flat.get(f"{name}{_SHAPES}")
            if shapes is None:
                columns[name] = values
            else:
                parts = np.split(values, np.cumsum(shapes.prod(axis=1))[:-1])
                columns[name] = objects_of([part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])
        return cls(columns)

    @classmethod
    def joined(cls, tables: "Sequence[RowTable]") -> "RowTable":
        """The rows of several tables with the same columns, one table after the other."""
        names = tables[0].columns
        return cls({name: column_of([entry for table in tables for entry in table[name]]) for name in names})


def objects_of(entries: Sequence[Array]) -> Array:
    """One entry a row -> an array of objects, whether shapes differ or not."""
    column = np.empty(len(entries), dtype=object)
    for row, entry in enumerate(entries):
        column[row] = entry
    return column


def column_of(entries: Sequence[Array]) -> Array:
    """One entry a row -> a column; an array of objects where shapes differ."""
    if len({np.shape(entry) for entry in entries}) == 1:
        return np.stack(entries)
    return objects_of(entries)


def gap(table: Mapping[str, Array], reference: Mapping[str, Array]) -> float:
    """Largest difference between numbers of two `flat` tables, as a share of the largest number of the column in
    `reference`, or of 1 where that is larger; infinite where they have other columns or shapes."""
    if table.keys() != reference.keys() or any(table[name].shape != reference[name].shape for name in table):
        return float("inf")
    gaps = [
        float(np.abs(table[name] - reference[name]).max() / max(1.0, float(np.abs(reference[name]).max())))
        for name in table
        if table[name].size
    ]
    return float("inf") if any(np.isnan(gaps)) else max(gaps, default=0.0)
