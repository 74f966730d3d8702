"""How the label of a text follows from its evidence."""

from collections.abc import Callable, Mapping
from math import log
from typing import Final, NamedTuple, final

import torch
from torch import Tensor, nn

from tunery.model.heads.evidence import PRIOR_LOGIT
from tunery.model.heads.pooling import HiddenStates, Pool
from tunery.schema.config.model import Coupled, EvidenceFirst, EvidencePooling, Fusion, Independent
from tunery.schema.spec import Spec

SHARPNESS: Final = 4.0
"""r of a new model: where one unit of eleven is evident, e is log(11)/r = 0.6 below what it is where all are."""


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


EvidencePool = Callable[[Reading], Tensor]
"""-> (texts, labels, hidden)"""
Fuse = Callable[[Tensor, Tensor], Tensor]
"""The text and its evidence, (texts, labels, hidden) each -> (texts, labels, hidden or twice that)"""


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
        of_state = of_each_label(self.layers(attended))
        logits: Tensor = self.log_scale.exp() * evidence + self.bias + evidence.sigmoid() * of_state
        return logits


@final
class WeightedFusion(nn.Module):
    """w_0 text + w_1 evidence, of learned weights: 1 each at first, or adding up to 1."""

    def __init__(self, *, is_mean: bool) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(2) if is_mean else torch.ones(2))
        self.is_mean = is_mean

    def forward(self, text: Tensor, evidence: Tensor) -> Tensor:
        """Two of one shape become one."""
        of_text, of_evidence = self.weights.softmax(dim=0) if self.is_mean else self.weights
        fused: Tensor = of_text * text + of_evidence * evidence
        return fused


@final
class CoupledLabels(nn.Module):
    """h(pooled states joined with the evidence of the label)"""

    def __init__(self, pool: Pool, pool_evidence: EvidencePool, fuse: Fuse, layers: nn.Module) -> None:
        super().__init__()
        self.pool = pool
        self.pool_evidence = pool_evidence
        self.fuse = fuse
        self.layers = layers

    def forward(self, reading: Reading) -> Tensor:
        """(texts, labels)"""
        evidence = self.pool_evidence(reading)
        text = self.pool(reading.hidden_states, reading.mask).unsqueeze(1).expand_as(evidence)
        return of_each_label(self.layers(self.fuse(text, evidence)))


def mean_of_units(reading: Reading) -> Tensor:
    """Weighted by probabilities: (texts, labels, hidden)"""
    weights = reading.evidence.float().sigmoid() * reading.real.unsqueeze(-1)  # (texts, units, labels)
    mean: Tensor = (weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-6)).transpose(1, 2) @ reading.units
    return mean


def likeliest_unit(reading: Reading) -> Tensor:
    """Times its probability: (texts, labels, hidden)"""
    logits, units = reading.evidence.float().max(dim=1)  # (texts, labels)
    states = reading.units.gather(1, units.unsqueeze(-1).expand(-1, -1, reading.units.shape[2]))
    return logits.sigmoid().unsqueeze(-1) * states


def attended_units(reading: Reading) -> Tensor:
    """Weighted by a softmax over logits: (texts, labels, hidden)"""
    scores = without_padding(reading.evidence.float(), reading.real.unsqueeze(-1))
    attended: Tensor = scores.softmax(dim=1).transpose(1, 2) @ reading.units
    return attended


def without_padding(scores: Tensor, real: Tensor) -> Tensor:
    """Scores whose exponential is exactly zero where no unit is, and equal where a text has none."""
    return scores.masked_fill(~real, -1e4)


def of_each_label(logits: Tensor) -> Tensor:
    """What each label says of the vector that was made for it: (..., labels, labels) -> (..., labels)"""
    return logits.diagonal(dim1=-2, dim2=-1)


def _concatenated(text: Tensor, evidence: Tensor) -> Tensor:
    return torch.cat([text, evidence], dim=-1)


def _mean(text: Tensor, evidence: Tensor) -> Tensor:
    return (text + evidence) / 2


EVIDENCE_POOLINGS: Final[Mapping[EvidencePooling, EvidencePool]] = {
    "mean": mean_of_units,
    "max": likeliest_unit,
    "attention": attended_units,
}

FUSIONS: Final[Mapping[Fusion, Callable[[], Fuse]]] = {
    "concat": lambda: _concatenated,
    "add": lambda: torch.add,
    "mean": lambda: _mean,
    "weighted_sum": lambda: WeightedFusion(is_mean=False),
    "weighted_mean": lambda: WeightedFusion(is_mean=True),
}

MakeLayers = Callable[[int], nn.Module]
"""What makes the layers of `model.head`, of the width of a vector."""
MakePool = Callable[[], Pool]
"""What makes the pooling of `model.head`."""


def _evidence_first(spec: EvidenceFirst, *, layers: MakeLayers, pool: MakePool, width: int, labels: int) -> nn.Module:
    return LabelsOfEvidence(layers(width), labels=labels)


def _coupled(spec: Coupled, *, layers: MakeLayers, pool: MakePool, width: int, labels: int) -> nn.Module:
    joined = 2 * width if spec.fusion == "concat" else width
    return CoupledLabels(pool(), EVIDENCE_POOLINGS[spec.pooling], FUSIONS[spec.fusion](), layers(joined))


def _independent(spec: Independent, *, layers: MakeLayers, pool: MakePool, width: int, labels: int) -> nn.Module:
    return IndependentLabels(pool(), layers(width))


COUPLINGS: Final[Mapping[type[Spec], Callable[..., nn.Module]]] = {
    EvidenceFirst: _evidence_first,
    Coupled: _coupled,
    Independent: _independent,
}
"""Spec -> what makes a module of it, `Reading` -> (texts, labels), of what makes the layers and the pooling of
`model.head`, the width of a state and the number of labels."""
