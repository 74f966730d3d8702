"""What training minimises where labels come with their evidence: a loss of labels, and one of units."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from tunery.optim.losses import RowLoss
from tunery.optim.objective import Objective, Tensors
from tunery.schema.config.model import EvidenceHead, Tagging
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


EVIDENCE_LOSSES: Final[Mapping[type[Spec], EvidenceLoss]] = {Tagging: _tagging}
"""What each evidence head is trained by."""
