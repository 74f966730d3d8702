"""Losses per row of numbers, and of levels in an order. As those of labels, they compute in float32 at least."""

from collections.abc import Callable
from typing import Any, Final, final

import torch
from torch import Tensor
from torch.nn import functional as F

from tunery.optim.losses import RowLoss
from tunery.schema.config.loss import Huber, Mse, SmoothL1
from tunery.schema.spec import Spec

_Differ = Callable[[Tensor, Tensor], Tensor]
"""Answers and targets, (rows,) each -> losses, (rows,)."""


@final
class NumberLoss(RowLoss):
    """How far one number is from another."""

    def __init__(self, differ: _Differ) -> None:
        super().__init__()
        self._differ = differ

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(rows, 1) and (rows,) -> (rows,)"""
        precise = torch.promote_types(logits.dtype, torch.float32)
        return self._differ(logits.squeeze(1).to(precise), targets.to(precise))


@final
class LevelLoss(RowLoss):
    """The mean over levels but the highest of the sigmoid cross-entropy of whether a row is above them: the loss of
    CORAL (Cao, Mirjalili & Raschka 2020, arXiv 1901.07884, equation 4, all weights 1)."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(rows, levels - 1), and (rows,) of the numbers of levels -> (rows,)"""
        precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
        levels = torch.arange(logits.shape[1], device=targets.device)
        above = (targets.unsqueeze(1) > levels).to(precise.dtype)
        return F.binary_cross_entropy_with_logits(precise, above, reduction="none").mean(dim=1)


def make_number_loss(spec: Spec) -> RowLoss:
    """The loss of a config. spec: a member of `NumberLoss` of the schema."""
    return NUMBER_LOSSES[type(spec)](spec)


def _mse(spec: Mse) -> RowLoss:
    return NumberLoss(lambda answers, targets: (answers - targets).square())


def _huber(spec: Huber) -> RowLoss:
    return NumberLoss(lambda answers, targets: F.huber_loss(answers, targets, reduction="none", delta=spec.delta))


def _smooth_l1(spec: SmoothL1) -> RowLoss:
    return NumberLoss(lambda answers, targets: F.smooth_l1_loss(answers, targets, reduction="none", beta=spec.beta))


NUMBER_LOSSES: Final[dict[type[Spec], Callable[[Any], RowLoss]]] = {Mse: _mse, Huber: _huber, SmoothL1: _smooth_l1}
"""Spec -> what builds the loss."""
