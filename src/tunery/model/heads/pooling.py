"""Token states become one vector per text."""

from collections.abc import Callable

import torch
from torch import Tensor

Pool = Callable[[Tensor, Tensor], Tensor]


def first_token(states: Tensor, mask: Tensor) -> Tensor:
    """The state of the first token. (batch, tokens, hidden), (batch, tokens) -> (batch, hidden)"""
    return states[:, 0]


def mean_of_tokens(states: Tensor, mask: Tensor) -> Tensor:
    """The mean over real tokens; padding has no weight. (batch, tokens, hidden), (batch, tokens) -> (batch, hidden)"""
    weights = mask.unsqueeze(-1).to(states.dtype)  # (batch, tokens, 1)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def last_token(states: Tensor, mask: Tensor) -> Tensor:
    """The state of the last real token. (batch, tokens, hidden), (batch, tokens) -> (batch, hidden)"""
    last = mask.shape[1] - 1 - mask.flip(1).argmax(dim=1)  # (batch,)
    return states[torch.arange(len(states), device=states.device), last]


POOLINGS: dict[str, Pool] = {"cls": first_token, "mean": mean_of_tokens, "last": last_token}
