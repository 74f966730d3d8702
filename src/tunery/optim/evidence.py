"""What training minimises where labels come with their evidence: a loss of labels, and one of units."""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from tunery.optim.crf import log_likelihood
from tunery.optim.losses import RowLoss
from tunery.optim.objective import Objective, Tensors
from tunery.schema.config.model import (
    Biaffine,
    BioCrf,
    EvidenceHead,
    SentenceReranker,
    StartEndLinear,
    StartEndMlp,
    Tagging,
)
from tunery.schema.spec import Spec

UNMARKED: Final = -1
"""Target of a unit that nobody marked, where not all evidence is marked."""
UNKNOWN: Final = -100
"""Target of a unit of which nothing is known, and of padding."""
UNMARKED_WEIGHT: Final = 0.4
"""Weight of such a unit as one that is no evidence."""
MOST_WEIGHT: Final = 30.0
"""Of a unit that is evidence."""


class Rarity(NamedTuple):
    """How often units of the training rows are evidence."""

    cells: int
    """Units, once for each label."""
    evidence: int
    spans: int
    """Runs of them."""

    @classmethod
    def of(cls, codes: Iterable[npt.NDArray[Any]]) -> "Rarity":
        """Args:
        codes: for each row (units, labels): 1 is evidence.
        """
        cells = evidence = spans = 0
        for part in codes:
            is_evidence = part == 1
            cells += part.size
            evidence += int(is_evidence.sum())
            spans += int((np.diff(is_evidence, axis=0, prepend=False) & is_evidence).sum())
        return cls(cells, evidence, spans)

    def weight(self, positives: int, *, of: int) -> float:
        """Of each positive: the root of negatives to positives; rare ones are heard and do not drown the rest."""
        return min(MOST_WEIGHT, max(1.0, math.sqrt((of - positives) / max(positives, 1))))


EvidenceLoss = Callable[[Tensors, Tensor, Rarity], Tensor]
"""Outputs, targets (features, units, labels), and how rare evidence is -> the sum over units and labels, ()."""


@final
class CriteriaObjective(Objective):
    """`lambda_class` times the mean loss of the labels over features, plus `lambda_span` times the mean loss of the
    evidence over units and labels."""

    def __init__(self, loss: RowLoss, head: EvidenceHead, rarity: Rarity, *, weights: Mapping[str, float]) -> None:
        """Args:
        weights: of `labels` and `evidence`.
        """
        self.module: RowLoss = loss
        self.weights = weights
        self._loss = EVIDENCE_LOSSES[type(head)]
        self._rarity = rarity

    def units(self, targets: Tensors) -> Mapping[str, int]:
        """Features; and units of which something is known, once for each label."""
        return {"labels": len(targets["labels"]), "evidence": int((targets["evidence"] != UNKNOWN).sum())}

    def sums(self, outputs: Tensors, targets: Tensors) -> Tensors:
        """Of the losses of features, and of those of units."""
        labels: Tensor = self.module(outputs["labels"], targets["labels"])
        return {"labels": labels.sum(), "evidence": self._loss(outputs, targets["evidence"], self._rarity)}

    def learned(self) -> dict[str, float]:
        """What the loss of the labels has learned."""
        return self.module.learned()


def _weighted(logits: Tensor, targets: Tensor, weight: float) -> Tensor:
    """Sigmoid cross-entropy, summed; what is unmarked counts less, what is unknown not at all."""
    told = targets != UNKNOWN
    logits, targets = logits[told], targets[told]
    weights = torch.where(targets == UNMARKED, UNMARKED_WEIGHT, torch.where(targets == 1, weight, 1.0))
    return F.binary_cross_entropy_with_logits(logits, (targets == 1).to(logits.dtype), weights, reduction="sum")


def _tagging(outputs: Tensors, targets: Tensor, rarity: Rarity) -> Tensor:
    return _weighted(outputs["units"], targets, rarity.weight(rarity.evidence, of=rarity.cells))


def _start_end(outputs: Tensors, targets: Tensor, rarity: Rarity) -> Tensor:
    """Each unit may begin a span and may end one (Devlin et al. 2019, arXiv 1810.04805, section 4.2, for any number of
    spans)."""
    is_evidence, weight = targets == 1, rarity.weight(rarity.spans, of=rarity.cells)
    elsewhere = torch.where(is_evidence, 0, targets)  # within a span none begins
    starts = torch.where(_starts(is_evidence), 1, elsewhere)
    ends = torch.where(_starts(is_evidence.flip(1)).flip(1), 1, elsewhere)
    return (_weighted(outputs["starts"], starts, weight) + _weighted(outputs["ends"], ends, weight)) / 2


def _spans(outputs: Tensors, targets: Tensor, rarity: Rarity) -> Tensor:
    """Each unit and each unit up to `max_span` behind it may be the first and the last of a span (Yu et al. 2020, arXiv
    2005.07150, section 3). Of longer evidence, all spans of that length within it are right."""
    scores, units = outputs["spans"], targets.shape[1]
    longest, is_evidence = scores.shape[2], targets == 1
    starts, ends = _starts(is_evidence), _starts(is_evidence.flip(1)).flip(1)
    run, elsewhere = starts.cumsum(dim=1), torch.where(is_evidence, 0, targets)
    weight, total = rarity.weight(rarity.spans, of=rarity.cells * longest), scores.new_zeros(())
    for further in range(min(longest, units)):
        first, last = slice(0, units - further), slice(further, units)
        within = is_evidence[:, first] & is_evidence[:, last] & (run[:, first] == run[:, last])
        whole = within if further == longest - 1 else within & starts[:, first] & ends[:, last]
        weakest = torch.minimum(elsewhere[:, first], elsewhere[:, last])  # unknown, else unmarked, else none
        total = total + _weighted(scores[:, first, further], torch.where(whole, 1, weakest), weight)
    return total


def _chains(outputs: Tensors, targets: Tensor, rarity: Rarity) -> Tensor:
    """Minus the log-likelihood of what is known of the chains of tags. What is unmarked is outside in a share of it,
    `UNMARKED_WEIGHT`, and may be anything in the rest."""
    emissions, transitions, log_partition = (outputs[name] for name in ("emissions", "transitions", "log_partition"))
    is_evidence, known = targets == 1, targets != UNKNOWN
    likelihood = partial(log_likelihood, emissions, transitions, log_partition, is_evidence)
    as_outside, as_anything = likelihood(known), likelihood(known & (targets != UNMARKED))
    losses = -UNMARKED_WEIGHT * as_outside - (1 - UNMARKED_WEIGHT) * as_anything
    return (losses * known.any(dim=1)).sum()


def _listwise(outputs: Tensors, targets: Tensor, rarity: Rarity) -> Tensor:
    """Softmax cross-entropy over the units of a text and "none of them": all evidence has the same share of the
    target, or "none" has it. Times the units, of which the other losses have one each."""
    known, is_evidence = targets != UNKNOWN, targets == 1
    scores = F.pad(outputs["units"].masked_fill(~known, -torch.inf), (0, 0, 0, 1))  # the score of none is 0
    right = torch.cat([is_evidence, ~is_evidence.any(dim=1, keepdim=True)], dim=1)
    log_p = scores.log_softmax(dim=1).masked_fill(~right, 0.0)
    return -(log_p.sum(dim=1) / right.sum(dim=1) * known.sum(dim=1)).sum()


def _starts(is_evidence: Tensor) -> Tensor:
    """The first unit of every run."""
    return is_evidence & ~F.pad(is_evidence[:, :-1], (0, 0, 1, 0))


EVIDENCE_LOSSES: Final[Mapping[type[Spec], EvidenceLoss]] = {
    Tagging: _tagging,
    StartEndLinear: _start_end,
    StartEndMlp: _start_end,
    Biaffine: _spans,
    BioCrf: _chains,
    SentenceReranker: _listwise,
}
"""What each evidence head is trained by."""
