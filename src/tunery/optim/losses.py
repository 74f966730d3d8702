"""Losses per row, so that the passes of one step add up to the mean over its rows whatever their sizes."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

RowLoss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """(rows, labels), (rows,) -> (rows,)"""
    return F.cross_entropy(logits, targets, reduction="none")


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """(rows, labels), (rows, labels) -> (rows,), the mean over the labels"""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1)


LOSSES: dict[str, RowLoss] = {"single_label": cross_entropy, "multi_label": binary_cross_entropy}
"""By `HeadSpec.problem`."""
