"""Tables of rows survive being written as plain arrays, bit for bit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tunery.data.row_table import RowTable, objects_of

SHAPES = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3)), min_size=1, max_size=8)


@given(SHAPES, st.sampled_from([np.float32, np.float64, np.int64]), st.integers(0, 2**32 - 1))
def test_flat_and_back(shapes: list[tuple[int, int]], kind: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ragged = objects_of([rng.normal(0, 100, shape).astype(kind) for shape in shapes])
    table = RowTable({"even": rng.normal(size=(len(shapes), 2)).astype(np.float32), "ragged": ragged})
    flat = table.flat()
    assert all(column.dtype != object for column in flat.values())
    back = RowTable.of_flat(flat)
    assert list(back.columns) == ["even", "ragged"]
    np.testing.assert_array_equal(back["even"], table["even"])
    for there, here in zip(back["ragged"], ragged, strict=True):
        assert there.dtype == kind and there.shape == here.shape
        np.testing.assert_array_equal(there, here)


def test_joined_tables_have_all_rows_in_order() -> None:
    first = RowTable({"number": np.array([1.0, 2.0]), "units": objects_of([np.zeros(2), np.ones(3)])})
    second = RowTable({"number": np.array([3.0]), "units": objects_of([np.full(1, 7.0)])})
    both = RowTable.joined([first, second])
    assert both["number"].tolist() == [1.0, 2.0, 3.0]
    assert [entry.tolist() for entry in both["units"]] == [[0, 0], [1, 1, 1], [7]]
