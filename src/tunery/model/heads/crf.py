"""Chains of the tags begin, inside and outside: how likely each tag is at each unit, over all chains."""

from typing import Final, NamedTuple

import torch
from torch import Tensor

BEGIN, INSIDE, OUTSIDE = range(3)
FORBIDDEN: Final = -1e4
"""The score of what is not allowed."""


class Chains(NamedTuple):
    """What all chains of tags of a text say together."""

    log_partition: Tensor
    """Logarithm of the sum over all chains of exp(score): (texts, labels)."""
    log_marginals: Tensor
    """Log probability of each tag at each unit: (texts, units, labels, 3); of no meaning at padding."""


def all_chains(emissions: Tensor, transitions: Tensor, real: Tensor) -> Chains:
    """Forward-backward of a linear chain. The unit before the first one is outside. The score of a chain is the sum of
    emissions[u, tag] and transitions[tag before, tag] over the real units.

    Products of the matrices of neighbouring units are taken in pairs, so that there are log2(units) steps (Särkkä &
    García-Fernández 2021, arXiv 2002.00443, section III).

    Args:
        emissions: (texts, units, labels, 3)
        transitions: (3, 3), from the tag of the rows to that of the columns.
        real: (texts, units); what is not is left out of the chain.
    """
    identity = torch.full_like(transitions, FORBIDDEN).fill_diagonal_(0.0)
    steps = torch.where(real[:, :, None, None, None], transitions + emissions.unsqueeze(-2), identity)
    before = _products(steps)[..., OUTSIDE, :]  # (texts, units, labels, 3): of chains up to each unit
    after = _products(steps.transpose(-1, -2).flip(1)).flip(1).logsumexp(dim=-2)  # of chains from each unit on
    after = torch.cat([after[:, 1:], torch.zeros_like(after[:, :1])], dim=1)
    log_partition = before[:, -1].logsumexp(dim=-1)
    return Chains(log_partition, before + after - log_partition[:, None, :, None])


def _products(steps: Tensor) -> Tensor:
    """Of the matrices of each unit and all before it: (texts, units, labels, 3, 3), in logarithms."""
    distance = 1
    while distance < steps.shape[1]:
        pairs = steps[:, :-distance].unsqueeze(-1) + steps[:, distance:].unsqueeze(-3)
        steps = torch.cat([steps[:, :distance], pairs.logsumexp(dim=-2)], dim=1)
        distance *= 2
    return steps
