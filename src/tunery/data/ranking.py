"""Which texts to label next: those that a model is least sure of, and that differ from each other.

Rows are drawn one after the other as k-means++ draws its centres (Arthur & Vassilvitskii 2007, SODA, section 2.2): with
a probability in proportion to the squared distance from the nearest row drawn before, here times how unsure the model
is of the row, as in weighted clustering of uncertain rows (Zhdanov 2019, arXiv 1901.05954).
"""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tunery.data.rng import row_generator

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Vectors: TypeAlias = npt.NDArray[Any] | Any
"""(rows, features): an array, or a `csr_matrix`."""

DIVERSE: Final = 1_000
"""Rows that are drawn; those after them are ordered by margin alone. Each costs a pass over all rows."""
_SHARPNESS: Final = 4
"""Power of how unsure a model is: so the few rows near a boundary are not outweighed by the many far from it."""


def top_two_margin(probabilities: Floats) -> Floats:
    """Probability of the most probable label minus that of the next, (rows,); of one label alone, 1."""
    if probabilities.shape[1] < 2:
        return np.ones(len(probabilities))
    ordered = np.sort(probabilities, axis=1)
    margin: Floats = ordered[:, -1] - ordered[:, -2]
    return margin


def labelling_order(
    margins: Floats, vectors: Vectors, blank: Sequence[bool], *, seed: int, diverse: int = DIVERSE
) -> Ints:
    """Numbers of the rows in the order in which to label them, (rows,). The first is the one with the smallest margin;
    blank texts are the last.

    Args:
        margins: from 0, not sure at all, to 1, sure: (rows,).
        vectors: of the rows; their lengths do not count.
        blank: which texts have nothing to be labelled, (rows,).
        seed: of the draws.
        diverse: rows that are drawn.
    """
    rest = np.lexsort((np.arange(len(margins)), margins, np.asarray(blank, dtype=np.bool_)))
    weight = np.where(blank, 0.0, np.clip(1 - margins, 0.0, 1.0) ** _SHARPNESS)
    directions, nearest = _of_length_one(vectors), np.full(len(margins), np.inf)
    generator = row_generator(seed, epoch=0, row=0, purpose="rank")
    drawn: list[int] = [int(rest[0])] if len(rest) and weight[rest[0]] > 0 else []
    while drawn and len(drawn) < min(diverse, len(margins)):
        nearest = np.minimum(nearest, _distances(directions, drawn[-1]))
        nearest[drawn[-1]] = 0.0
        chances = np.cumsum(weight * nearest)
        if not chances[-1] > 0:
            break
        drawn.append(int(np.searchsorted(chances, generator.random() * chances[-1], side="right")))
    first: Ints = np.array(drawn, dtype=np.int64)
    return np.concatenate([first, rest[~np.isin(rest, first)]])


def _of_length_one(vectors: Vectors) -> Vectors:
    if isinstance(vectors, np.ndarray):
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(lengths > 0, lengths, 1)
    lengths = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel())
    return vectors.multiply((1 / np.where(lengths > 0, lengths, 1))[:, None]).tocsr()


def _distances(directions: Vectors, row: int) -> Floats:
    """Squared, of all rows to one, (rows,): of vectors of length 1, twice 1 minus the cosine."""
    one = directions[row]
    if isinstance(directions, np.ndarray):
        product = directions @ one
    else:
        product = np.asarray((directions @ one.T).todense()).ravel()
    distances: Floats = np.maximum(2 - 2 * product.astype(np.float64), 0.0)
    return distances
