"""The loss of chains of the tags begin, inside and outside, one for each label of a text."""

from typing import Final

import torch
from torch import Tensor

BEGIN, INSIDE, OUTSIDE = range(3)
NO_UNIT: Final = -30.0
"""The score of begin and inside where there is no unit."""


def negative_log_likelihood(emissions: Tensor, transitions: Tensor, log_partition: Tensor, evidence: Tensor) -> Tensor:
    """-log P(tags) of every chain, (texts, labels): log_partition - sum of emissions[u, tag] + transitions[tag before,
    tag] (Lafferty et al. 2001). Evidence begins at a unit whose neighbour before is none; where no unit is, there is no
    link of the chain.

    Args:
        emissions: (texts, units, labels, 3)
        transitions: (texts, 3, 3), from the tag of the rows to that of the columns; outside is before the first unit.
        log_partition: (texts, labels)
        evidence: (texts, units, labels), 1 where a unit is evidence; all else counts as outside.
    """
    real, inside = emissions[..., BEGIN] != NO_UNIT, evidence > 0
    numbers = torch.arange(real.shape[1], device=real.device).view(1, -1, 1)
    last = torch.where(real, numbers, -1).cummax(dim=1).values
    last = torch.cat([torch.full_like(last[:, :1], -1), last[:, :-1]], dim=1)  # the unit before each, or -1
    follows = inside.gather(1, last.clamp(min=0)) & (last >= 0)
    tags = torch.where(inside, torch.where(follows, INSIDE, BEGIN), OUTSIDE)
    before = torch.where(last >= 0, tags.gather(1, last.clamp(min=0)), OUTSIDE)
    moves = transitions.flatten(1).gather(1, (3 * before + tags).flatten(1)).view(tags.shape)
    links = emissions.gather(-1, tags.unsqueeze(-1)).squeeze(-1) + moves
    return log_partition - (links * real).sum(dim=1)
