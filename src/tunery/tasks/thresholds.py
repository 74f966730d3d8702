"""Probabilities from which labels are given, found on validation."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from tunery.data.metrics import Bools, Floats, best_threshold, matching_threshold
from tunery.data.row_table import Array

UNTUNED: Final = 0.5
FEW: Final = 25
"""Positive rows from which a label has a threshold of its own. With fewer, the recall by which it would be chosen has a
standard error above a tenth (0.5 / sqrt(25), where it is one half), which is more than a better threshold gains."""


def threshold_groups(support: Array) -> tuple[list[int], list[int]]:
    """Numbers of the labels that have a threshold of their own, and of those that share one.

    Args:
        support: rows of validation that have each label, (labels,).
    """
    return np.flatnonzero(support >= FEW).tolist(), np.flatnonzero(support < FEW).tolist()


def tuned_thresholds(probabilities: Floats, is_true: Bools, *, own: Sequence[int], shared: Sequence[int]) -> Floats:
    """A threshold for each label (labels,). Where those that share one have too few rows together, it is that of all
    labels."""
    pool = shared if is_true[:, shared].sum() >= FEW else range(is_true.shape[1])
    common = matching_threshold(probabilities[:, pool].ravel(), is_true[:, pool].ravel(), otherwise=UNTUNED)
    thresholds = np.full(is_true.shape[1], common)
    for k in own:
        thresholds[k] = best_threshold(probabilities[:, k], is_true[:, k], otherwise=common)
    return thresholds
