"""What finds the evidence of a label among the units of a text."""

from collections.abc import Callable, Mapping
from math import log
from typing import Final, final

import torch
from torch import Tensor, nn

from tunery.model.heads.units import PADDED
from tunery.schema.config.model import Tagging
from tunery.schema.spec import Spec

PRIOR: Final = 0.1
"""Probability of a new model that a unit is evidence, as most are not (Lin et al. 2017, arXiv 1708.02002, section 4.1):
https://arxiv.org/abs/1708.02002."""
PRIOR_LOGIT: Final = log(PRIOR / (1 - PRIOR))


@final
class LabelScorer(nn.Module):
    """s_uc = (W x_u) · q_c / √d + b_c: how well a unit fits the query of a label. W begins as the identity, so that
    queries that are states of texts are compared with units as they are."""

    def __init__(self, width: int, *, labels: int) -> None:
        super().__init__()
        self.projection = nn.Linear(width, width, bias=False)
        self.bias = nn.Parameter(torch.full((labels,), PRIOR_LOGIT))
        nn.init.eye_(self.projection.weight)

    def forward(self, units: Tensor, queries: Tensor) -> Tensor:
        """(texts, units, hidden), (labels, hidden) -> (texts, units, labels)"""
        scores: Tensor = self.projection(units) @ (queries / queries.shape[1] ** 0.5).T + self.bias
        return scores


@final
class TaggingHead(nn.Module):
    """Scores every unit by itself."""

    def __init__(self, width: int, *, labels: int) -> None:
        super().__init__()
        self.score = LabelScorer(width, labels=labels)

    def forward(self, units: Tensor, real: Tensor, queries: Tensor) -> dict[str, Tensor]:
        """`units`"""
        return {"units": self.score(units, queries).masked_fill(~real.unsqueeze(-1), PADDED)}


EVIDENCE_HEADS: Final[Mapping[type[Spec], Callable[..., nn.Module]]] = {
    Tagging: lambda spec, width, labels: TaggingHead(width, labels=labels),
}
"""Spec -> what makes, of that spec, `width` of a unit state and number of `labels`, a module: states (texts, units,
hidden), which units are real (texts, units), and queries (labels, hidden) become answers by name. One is `units`
(texts, units, labels): logits of being evidence, `PADDED` where no unit is."""
