"""How much labels weigh, counted in the training rows and nowhere else."""

import numpy as np
import torch
from torch import Tensor


def balanced(targets: np.ndarray, labels: int) -> Tensor:
    """Weight of each label, by how rare it is: rows / (labels that occur * rows of the label).

    Summed over the training rows, every label that occurs weighs the same, and the mean weight of a row is 1. A label
    that no row has weighs 1, which no row can see.

    Args:
        targets: int64 (rows,)
        labels: number of labels.

    Returns:
        float32 (labels,)
    """
    counts = np.bincount(targets, minlength=labels)
    weights = np.ones(labels)
    occurs = counts > 0
    weights[occurs] = len(targets) / (occurs.sum() * counts[occurs])
    return torch.tensor(weights, dtype=torch.float32)


def positive_weights(indicators: Tensor, *, largest: float) -> Tensor:
    """Weight of a label where it is given: rows without it / rows with it, from 1 / `largest` to `largest`.

    The lower end keeps a label that every row has from being forgotten; one that no row has weighs `largest`.

    Args:
        indicators: (rows, labels) of zeros and ones.
        largest: at least 1.

    Returns:
        float32 (labels,)
    """
    positives = indicators.double().sum(dim=0)
    return ((len(indicators) - positives) / positives).clamp(1 / largest, largest).float()
