"""Losses per row, so that the micro-batches of one step add up to the mean over its rows whatever their sizes.

All of them read soft targets, compute in float32 when logits come in less, and stay finite however sure the model is.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tunery.errors import ConfigError, Problem
from tunery.optim.class_weights import balanced, positive_weights
from tunery.schema.config.loss import AdaptiveFocal, Bce, CrossEntropy, Focal, Hybrid, WeightedBce
from tunery.schema.spec import Spec

Kind = Literal["single_label", "multi_label"]


class RowLoss(nn.Module, ABC):
    """A loss that is computed for each row alone. `train` moves it to the device, trains its parameters, and keeps its
    `state_dict` (what is learned, never what is counted in the training rows) in resume points."""

    @abstractmethod
    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(rows, labels), and (rows,) of label numbers or (rows, labels) of zeros and ones -> (rows,)"""

    def learned(self) -> dict[str, float]:
        """What it has learned so far, to be logged beside the loss."""
        return {}


@dataclass(frozen=True)
class TrainingRows:
    """What a loss may know of the rows it is made for."""

    problem: Kind
    targets: np.ndarray
    labels: int
    smoothing: float


def make_loss(spec: Spec, *, problem: Kind, targets: np.ndarray, labels: int, smoothing: float) -> RowLoss:
    """The loss of a config.

    Args:
        spec: a member of `SingleLabelLoss` or `MultiLabelLoss`.
        problem: `single_label`: one of `labels` labels a row; `multi_label`: any number of them.
        targets: of the training rows, from which weights are counted: int64 (rows,) or float32 (rows, labels).
        labels: number of labels.
        smoothing: share of the target that is spread over all labels (Szegedy et al. 2016, arXiv 1512.00567,
            section 7); over yes and no for each label where the loss looks at labels one by one.

    Raises:
        ConfigError: when the loss does not fit the problem.
    """
    return LOSSES[type(spec)](spec, TrainingRows(problem, targets, labels, smoothing))


@final
class SoftmaxCrossEntropy(RowLoss):
    """-sum_k q_k log p_k; with `weights` (labels,) times the weight of the row's own label, smoothed or not."""

    weights: Tensor | None

    def __init__(self, *, smoothing: float, weights: Tensor | None = None) -> None:
        super().__init__()
        self._smoothing = smoothing
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(rows, labels), (rows,) -> (rows,)"""
        losses = F.cross_entropy(_precise(logits), targets, reduction="none", label_smoothing=self._smoothing)
        return losses if self.weights is None else losses * self.weights[targets]


@final
class SigmoidCrossEntropy(RowLoss):
    """-(w q log p + (1 - q) log(1 - p)), the mean over the labels; `positive_weights` (labels,) are w, else 1."""

    positive_weights: Tensor | None

    def __init__(self, problem: Kind, *, smoothing: float, positive_weights: Tensor | None = None) -> None:
        super().__init__()
        self._problem: Kind = problem
        self._smoothing = smoothing
        self.register_buffer("positive_weights", positive_weights, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(rows, labels), (rows,) or (rows, labels) -> (rows,)"""
        logits = _precise(logits)
        indicators = _indicators(targets, logits.shape[1], self._problem)
        soft, weights = _smooth(indicators.to(logits.dtype), self._smoothing), self.positive_weights
        return F.binary_cross_entropy_with_logits(logits, soft, pos_weight=weights, reduction="none").mean(dim=1)


class FocalLoss(RowLoss, ABC):
    """What the focal losses share: rows that are already right are played down, by an exponent that may be trained."""

    def __init__(self, gamma: "Gamma", *, smoothing: float) -> None:
        super().__init__()
        self.gamma, self._smoothing = gamma, smoothing

    def learned(self) -> dict[str, float]:
        """Gamma, where it is trained."""
        return self.gamma.learned()


@final
class SoftmaxFocal(FocalLoss):
    """sum_k q_k (1 - p_k)^gamma (-log p_k): Lin et al. 2017, arXiv 1708.02002, equation 4, for n labels and soft
    targets."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(rows, labels), (rows,) -> (rows,)"""
        logits = _precise(logits)
        labels = logits.shape[1]
        soft = F.one_hot(targets, labels).to(logits.dtype) * (1 - self._smoothing) + self._smoothing / labels
        log_p, gamma = logits.log_softmax(dim=1), self.gamma.value()
        return -(soft * (gamma * _log_rest(log_p)).exp() * log_p).sum(dim=1)


@final
class SigmoidFocal(FocalLoss):
    """q (1 - p)^gamma (-log p) + (1 - q) p^gamma (-log(1 - p)), the mean over the labels: Lin et al. 2017, equation 4,
    for soft targets."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(rows, labels), (rows, labels) -> (rows,)"""
        logits, gamma = _precise(logits), self.gamma.value()
        soft = _smooth(targets.to(logits.dtype), self._smoothing)
        yes, no = F.logsigmoid(logits), F.logsigmoid(-logits)
        return -(soft * (gamma * no).exp() * yes + (1 - soft) * (gamma * yes).exp() * no).mean(dim=1)


@final
class WeightedSum(RowLoss):
    """`share` of one loss, and the rest of another."""

    def __init__(self, first: RowLoss, second: RowLoss, *, share: float) -> None:
        super().__init__()
        self.first, self.second, self._share = first, second, share

    def learned(self) -> dict[str, float]:
        """What the parts have learned."""
        return {**self.first.learned(), **self.second.learned()}

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(rows, labels), (rows,) or (rows, labels) -> (rows,)"""
        logits = _precise(logits)  # here, so that both gradients add up before they are rounded
        first: Tensor = self.first(logits, targets)
        second: Tensor = self.second(logits, targets)
        return self._share * first + (1 - self._share) * second


class Gamma(nn.Module, ABC):
    """The exponent of a focal loss."""

    @abstractmethod
    def value(self) -> Tensor:
        """-> ()"""

    @abstractmethod
    def learned(self) -> dict[str, float]:
        """The value, where it is trained."""


@final
class FixedGamma(Gamma):
    """Stays what it is."""

    fixed: Tensor

    def __init__(self, fixed: float) -> None:
        super().__init__()
        self.register_buffer("fixed", torch.tensor(fixed, dtype=torch.float32), persistent=False)

    def value(self) -> Tensor:
        """-> ()"""
        return self.fixed

    def learned(self) -> dict[str, float]:
        """Nothing."""
        return {}


@final
class LearnedGamma(Gamma):
    """low + (high - low) sigmoid(theta), where theta is trained, and starts where this is `start`. At a bound theta
    would be infinite and never learn, so it starts a thousandth of the way from there."""

    def __init__(self, start: float, *, low: float, high: float) -> None:
        super().__init__()
        self._low, self._high = low, high
        share = torch.tensor((start - low) / (high - low), dtype=torch.float64)
        self.theta = nn.Parameter(share.logit(eps=1e-3).float())

    def value(self) -> Tensor:
        """-> ()"""
        return self._low + (self._high - self._low) * self.theta.sigmoid()

    def learned(self) -> dict[str, float]:
        """The value."""
        return {"gamma": self.value().item()}


def _precise(logits: Tensor) -> Tensor:
    """In float32 at least: bfloat16 holds three digits."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _smooth(indicators: Tensor, smoothing: float) -> Tensor:
    return indicators * (1 - smoothing) + smoothing / 2


def _indicators(targets: Tensor, labels: int, problem: Kind) -> Tensor:
    """(rows,) or (rows, labels) -> (rows, labels) of zeros and ones; one label of n is each label against the rest."""
    return F.one_hot(targets, labels) if problem == "single_label" else targets


def _log_rest(log_p: Tensor) -> Tensor:
    """log(1 - p) of every label, (rows, labels) -> (rows, labels), right even where p rounds to 1: the likeliest label
    has it from the sum over the others; each of those has p <= 1/2."""
    likeliest = torch.zeros_like(log_p, dtype=torch.bool).scatter(1, log_p.argmax(dim=1, keepdim=True), value=True)
    others = log_p.masked_fill(likeliest, -math.inf).logsumexp(dim=1, keepdim=True)
    # What is filled in is not read; log(1 - 1) would have a gradient, and 0 times that one is NaN.
    rest = torch.log1p(-log_p.masked_fill(likeliest, -1.0).exp())
    return torch.where(likeliest, others, rest)


def _cross_entropy(spec: CrossEntropy, rows: TrainingRows) -> RowLoss:
    if rows.problem != "single_label":
        message = f"{spec.name!r} needs exactly one label a row, but rows have any number; take bce, or another loss"
        raise ConfigError([Problem("task.loss.name", message)])
    weights = balanced(rows.targets, rows.labels) if spec.class_weights == "balanced" else None
    return SoftmaxCrossEntropy(smoothing=rows.smoothing, weights=weights)


def _bce(spec: Bce, rows: TrainingRows) -> RowLoss:
    return SigmoidCrossEntropy(rows.problem, smoothing=rows.smoothing)


def _weighted_bce(spec: WeightedBce, rows: TrainingRows) -> RowLoss:
    indicators = _indicators(torch.from_numpy(rows.targets), rows.labels, rows.problem)
    weights = positive_weights(indicators, largest=spec.max_weight)
    return SigmoidCrossEntropy(rows.problem, smoothing=rows.smoothing, positive_weights=weights)


_FOCAL: Final[dict[Kind, type[FocalLoss]]] = {"single_label": SoftmaxFocal, "multi_label": SigmoidFocal}


def _focal(spec: Focal, rows: TrainingRows) -> RowLoss:
    return _FOCAL[rows.problem](FixedGamma(spec.gamma), smoothing=rows.smoothing)


def _adaptive_focal(spec: AdaptiveFocal, rows: TrainingRows) -> RowLoss:
    gamma = LearnedGamma(spec.gamma, low=spec.gamma_min, high=spec.gamma_max)
    return _FOCAL[rows.problem](gamma, smoothing=rows.smoothing)


_BCE_PARTS: Final[dict[str, Spec]] = {"bce": Bce(), "weighted_bce": WeightedBce()}
_FOCAL_PARTS: Final[dict[str, type[Focal] | type[AdaptiveFocal]]] = {"focal": Focal, "adaptive_focal": AdaptiveFocal}


def _hybrid(spec: Hybrid, rows: TrainingRows) -> RowLoss:
    bce, focal = _BCE_PARTS[spec.bce], _FOCAL_PARTS[spec.focal](gamma=spec.gamma)
    return WeightedSum(LOSSES[type(bce)](bce, rows), LOSSES[type(focal)](focal, rows), share=spec.alpha)


LOSSES: Final[dict[type[Spec], Callable[[Any, TrainingRows], RowLoss]]] = {
    CrossEntropy: _cross_entropy,
    Bce: _bce,
    WeightedBce: _weighted_bce,
    Focal: _focal,
    AdaptiveFocal: _adaptive_focal,
    Hybrid: _hybrid,
}
"""Spec -> what builds the loss."""
