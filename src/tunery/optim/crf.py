"""The likelihood of chains of the tags begin, inside and outside, one for each label of a text."""

from typing import Final

import torch
from torch import Tensor

BEGIN, INSIDE, OUTSIDE = range(3)
NO_UNIT: Final = -30.0
"""The score of begin and inside where there is no unit."""
FORBIDDEN: Final = -1e4
"""The score of what is not allowed."""


def log_likelihood(
    emissions: Tensor, transitions: Tensor, log_partition: Tensor, evidence: Tensor, known: Tensor
) -> Tensor:
    """log P(what is known) of every chain, (texts, labels): the logarithm of the sum of exp(score) over all chains of
    tags that agree with it (Tsuboi et al. 2008, "Training conditional random fields using incomplete annotations"),
    minus `log_partition`. Where all units are known it is that of one chain (Lafferty et al. 2001).

    The score of a chain is the sum of emissions[u, tag] and transitions[tag before, tag]; where no unit is, there is no
    link. What is no evidence is outside. Evidence begins behind what is none, goes on behind evidence, and may do
    either behind a unit of which nothing is known.

    Args:
        emissions: (texts, units, labels, 3)
        transitions: (texts, 3, 3), from the tag of the rows to that of the columns; outside is before the first unit.
        log_partition: (texts, labels)
        evidence: (texts, units, labels), whether a unit is evidence.
        known: (texts, units, labels), whether that is known.
    """
    real = emissions[..., BEGIN] != NO_UNIT
    allowed = _allowed(evidence, known, real)
    links = transitions[:, None, None] + torch.where(allowed, emissions, FORBIDDEN).unsqueeze(-2)
    nothing = torch.full_like(links[0, 0, 0], FORBIDDEN).fill_diagonal_(0.0)
    chains = _product(torch.where(real[..., None, None], links, nothing))
    return chains[..., OUTSIDE, :].logsumexp(dim=-1) - log_partition


def _allowed(evidence: Tensor, known: Tensor, real: Tensor) -> Tensor:
    """Whether each tag agrees with what is known of each unit: (texts, units, labels, 3)"""
    numbers = torch.arange(real.shape[1], device=real.device).view(1, -1, 1)
    last = torch.where(real, numbers, -1).cummax(dim=1).values
    last = torch.cat([torch.full_like(last[:, :1], -1), last[:, :-1]], dim=1)  # the unit before each, or -1

    def before(each: Tensor) -> Tensor:
        return each.gather(1, last.clamp(min=0)) & (last >= 0)

    begin, inside = evidence & ~before(known & evidence), evidence & before(~known | evidence)
    return torch.stack([begin, inside, ~evidence], dim=-1) | ~known.unsqueeze(-1)


def _product(links: Tensor) -> Tensor:
    """Of the matrices of all units in their order, (texts, labels, 3, 3), in logarithms; neighbours are multiplied in
    pairs, so that there are log2(units) steps."""
    while links.shape[1] > 1:
        pairs = 2 * (links.shape[1] // 2)
        products = (links[:, :pairs:2].unsqueeze(-1) + links[:, 1:pairs:2].unsqueeze(-3)).logsumexp(dim=-2)
        links = torch.cat([products, links[:, pairs:]], dim=1)
    return links[:, 0]
