"""How much of what a random forest says about losses each parameter explains by itself."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TREES: Final = 64
_SEED: Final = 0


def single_shares(points: Floats, losses: Floats, *, bounds: Floats) -> Floats:
    """Share of the variance that every parameter explains alone, the mean over the trees (parameters,); the rest is
    explained by parameters together. Zero for all where the forest sees no difference.

    Functional ANOVA (Hutter, Hoos & Leyton-Brown 2014, section 3 and algorithm 2). What a forest of axis-parallel
    boxes says is summed up box by box, so that the work grows with the boxes and not with their pairs.

    Args:
        points: (trials, parameters), within the bounds.
        losses: (trials,)
        bounds: lowest and highest value of every parameter (parameters, 2); values count evenly between them.
    """
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(n_estimators=_TREES, random_state=_SEED).fit(points, losses)
    by_tree = [_shares_of(estimator.tree_, bounds) for estimator in forest.estimators_]
    shares = [share for share in by_tree if share is not None]
    return np.mean(shares, axis=0) if shares else np.zeros(len(bounds))


def _shares_of(tree: Any, bounds: Floats) -> Floats | None:
    boxes, values = _boxes(tree, bounds)
    widths = (boxes[:, :, 1] - boxes[:, :, 0]) / (bounds[:, 1] - bounds[:, 0])  # (boxes, parameters)
    volumes = widths.prod(axis=1)
    mean = volumes @ values
    total = volumes @ (values - mean) ** 2
    if not total > 0:
        return None
    weights = (values - mean) * volumes  # (boxes,)
    each = [_variance(boxes[:, k], weights / widths[:, k], bounds[k]) for k in range(len(bounds))]
    shares: Floats = np.array(each) / total
    return shares


def _boxes(tree: Any, bounds: Floats) -> tuple[Floats, Floats]:
    """Where every leaf applies (leaves, parameters, 2), and what it says (leaves,)."""
    boxes = np.empty((tree.node_count, *bounds.shape))
    boxes[0] = bounds
    for node in np.flatnonzero(tree.children_left >= 0):  # parents are numbered before their children
        left, right, feature = tree.children_left[node], tree.children_right[node], tree.feature[node]
        boxes[left] = boxes[right] = boxes[node]
        boxes[left, feature, 1] = boxes[right, feature, 0] = tree.threshold[node]
    leaves = tree.children_left < 0
    return boxes[leaves], tree.value[leaves, 0, 0]


def _variance(sides: Floats, weights: Floats, bounds: Floats) -> float:
    """Variance of the sum of steps, each of which has a weight between its sides (steps, 2)."""
    edges, indices = np.unique(sides, return_inverse=True)
    starts, ends = indices.reshape(sides.shape).T
    rises = np.bincount(starts, weights, len(edges)) - np.bincount(ends, weights, len(edges))
    heights = rises.cumsum()[:-1]
    lengths = np.diff(edges) / (bounds[1] - bounds[0])
    return float(lengths @ heights**2)
