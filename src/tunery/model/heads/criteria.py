"""The head of a task that reads evidence: which labels a text has, and where their evidence is."""

from collections.abc import Mapping
from typing import Final, final

import torch
from torch import Tensor, nn

from tunery.model.heads.coupling import Reading
from tunery.model.heads.evidence import LabelScorer
from tunery.model.heads.layers import WEIGHT_STD
from tunery.model.heads.pooling import HiddenStates
from tunery.model.heads.units import unit_ids_of, unit_states

FIT: Final = 4.0
"""By how much the logit of a unit whose state is that of a label's description is above the prior at first, on
average over the labels."""


@final
class CriteriaHead(nn.Module):
    """Units are scored against a query for each label; the label follows from pooled states, from its evidence, or
    from both."""

    def __init__(self, evidence: nn.Module, coupling: nn.Module, *, width: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.empty(labels, width).normal_(std=WEIGHT_STD))
        self.dropout = nn.Dropout(dropout)
        self.evidence = evidence
        self.coupling = coupling

    def forward(self, hidden_states: HiddenStates, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`labels` (texts, labels), and what the evidence head answers.

        Args:
            inputs: `attention_mask` and, where units are not tokens, `unit_ids`: (texts, tokens).
        """
        units, real = unit_states(hidden_states[-1], unit_ids_of(inputs))
        answers: dict[str, Tensor] = self.evidence(self.dropout(units), real, self.queries)
        reading = Reading(hidden_states, inputs["attention_mask"], units, real, answers["units"])
        return {"labels": self.coupling(reading), **answers}

    @torch.no_grad()
    def start_from(self, descriptions: Tensor) -> None:
        """Begin with queries that are the states of descriptions, each seen from the mean of all: what encoders have in
        common in all texts tells no label from another. Biases become such that a unit with the mean state is evidence
        with the probability of the prior, and a scale such that one with the state of a description itself is above it
        by `FIT` on average. A single label is seen from zero.

        Args:
            descriptions: (labels, hidden)
        """
        width = descriptions.shape[1]
        mean = descriptions.mean(dim=0) if len(descriptions) > 1 else torch.zeros_like(descriptions[0])
        seen = descriptions - mean
        queries = seen * (FIT * width**0.5 / seen.square().sum(dim=1).mean().clamp(min=torch.finfo(seen.dtype).tiny))
        self.queries.copy_(queries)
        for scorer in self.evidence.modules():
            if isinstance(scorer, LabelScorer):
                scorer.bias.sub_(queries @ mean / width**0.5)
