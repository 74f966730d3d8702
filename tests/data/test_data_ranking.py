"""The order in which to label texts: unsure ones first, none like another, all of them once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from tunery.data.ranking import labelling_order, top_two_margin


def test_the_margin_is_between_the_two_most_probable_labels() -> None:
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.45, 0.1, 0.45]])
    assert np.allclose(top_two_margin(p), [0.2, 0.7, 0.0])
    assert top_two_margin(np.ones((2, 1))).tolist() == [1.0, 1.0]


@given(st.integers(0, 10_000), st.integers(0, 12), st.integers(0, 20), st.booleans())
def test_each_row_stands_once_blank_texts_last_and_vectors_may_be_sparse(
    seed: int, rows: int, diverse: int, sparse: bool
) -> None:
    draw = np.random.default_rng(seed)
    margins, vectors = draw.random(rows), np.round(draw.normal(size=(rows, 3)))
    blank = (draw.random(rows) < 0.2).tolist()
    given_vectors = csr_matrix(vectors) if sparse else vectors
    order = labelling_order(margins, given_vectors, blank, seed=seed, diverse=diverse).tolist()
    assert sorted(order) == [*range(rows)]
    assert [blank[row] for row in order] == sorted(blank)
    assert order == labelling_order(margins, vectors, blank, seed=seed, diverse=diverse).tolist()
    if rows and not all(blank):
        assert margins[order[0]] == min(margin for margin, is_blank in zip(margins, blank, strict=True) if not is_blank)


def test_rows_like_one_that_was_drawn_come_after_those_that_are_not() -> None:
    """Thirty of one kind, which are the least sure, and five others: without diversity the thirty come first."""
    vectors = np.concatenate([np.tile([1.0, 0, 0, 0, 0, 0], (30, 1)), np.eye(6)[1:]])
    margins = np.concatenate([np.linspace(0, 0.1, 30), np.full(5, 0.4)])
    for seed in range(5):
        order = labelling_order(margins, vectors, [False] * 35, seed=seed)
        assert order[0] == 0 and {*order[1:6].tolist()} == {30, 31, 32, 33, 34}
        assert order[6:].tolist() == [*range(1, 30)]
    assert labelling_order(margins, vectors, [False] * 35, seed=0, diverse=1).tolist() == [*range(35)]


def test_unsure_rows_are_drawn_more_often_than_sure_ones() -> None:
    draw = np.random.default_rng(0)
    vectors, margins = draw.normal(size=(400, 20)), np.repeat([0.2, 0.9], 200)
    first = labelling_order(margins, vectors, [False] * 400, seed=0)[:50]
    assert (first < 200).mean() > 0.9
