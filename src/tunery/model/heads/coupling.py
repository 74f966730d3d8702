"""How the label of a text follows from its evidence."""

from collections.abc import Callable, Mapping
from math import log
from typing import Final, NamedTuple, final

import torch
from torch import Tensor, nn

from tunery.model.heads.evidence import PRIOR_LOGIT
from tunery.model.heads.pooling import HiddenStates, Pool
from tunery.schema.config.model import EvidenceFirst, Independent
from tunery.schema.spec import Spec

SHARPNESS: Final = 4.0
"""r of a new model: one evident unit among ten others weighs as much as eleven do, but for log(11)/r = 0.6."""


class Reading(NamedTuple):
    """What a label may be read from."""

    hidden_states: HiddenStates
    mask: Tensor
    """(texts, tokens)"""
    units: Tensor
    """States: (texts, units, hidden)."""
    real: Tensor
    """Which units are there: bool (texts, units)."""
    evidence: Tensor
    """Logits: (texts, units, labels)."""


@final
class IndependentLabels(nn.Module):
    """h(pooled states)"""

    def __init__(self, pool: Pool, layers: nn.Module) -> None:
        super().__init__()
        self.pool = pool
        self.layers = layers

    def forward(self, reading: Reading) -> Tensor:
        """(texts, labels)"""
        logits: Tensor = self.layers(self.pool(reading.hidden_states, reading.mask))
        return logits


@final
class LabelsOfEvidence(nn.Module):
    """a e + b + σ(e) h(v), as `EvidenceFirst` says. A new model gives every label a probability of about one half."""

    def __init__(self, layers: nn.Module, *, labels: int) -> None:
        super().__init__()
        self.layers = layers
        self.log_scale = nn.Parameter(torch.zeros(1))
        self.log_sharpness = nn.Parameter(torch.full((1,), log(SHARPNESS)))
        self.bias = nn.Parameter(torch.full((labels,), -PRIOR_LOGIT))

    def forward(self, reading: Reading) -> Tensor:
        """(texts, labels). A text without units has the evidence of a new model."""
        real, sharpness = reading.real.unsqueeze(-1), self.log_sharpness.exp()
        scores = without_padding(sharpness * reading.evidence.float(), real)
        count = real.sum(dim=1)  # (texts, 1)
        evidence = (scores.logsumexp(dim=1) - count.clamp(min=1).log()) / sharpness
        evidence = torch.where(count > 0, evidence, PRIOR_LOGIT)
        attended = scores.softmax(dim=1).transpose(1, 2) @ reading.units  # (texts, labels, hidden)
        return self.log_scale.exp() * evidence + self.bias + evidence.sigmoid() * of_each_label(self.layers(attended))


def without_padding(scores: Tensor, real: Tensor) -> Tensor:
    """Scores whose exponential is exactly zero where no unit is, and equal where a text has none."""
    return scores.masked_fill(~real, torch.finfo(scores.dtype).min / 2)


def of_each_label(logits: Tensor) -> Tensor:
    """What each label says of the vector that was made for it: (..., labels, labels) -> (..., labels)"""
    return logits.diagonal(dim1=-2, dim2=-1)


COUPLINGS: Final[Mapping[type[Spec], Callable[..., nn.Module]]] = {
    EvidenceFirst: lambda spec, layers, pool, width, labels: LabelsOfEvidence(layers(width), labels=labels),
    Independent: lambda spec, layers, pool, width, labels: IndependentLabels(pool(), layers(width)),
}
"""Spec -> what makes a module of it: a `Reading` becomes logits (texts, labels). `layers` makes those of
`model.head` of the width of a vector, `pool` its pooling."""
