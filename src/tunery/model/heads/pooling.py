"""Token states become one vector per text."""

from collections.abc import Callable, Mapping
from typing import Final, final

import torch
from torch import Tensor, nn

from tunery.schema.config.model import Pooling

HiddenStates = tuple[Tensor, ...]
"""Token states by layer, each (batch, tokens, hidden), the last layer's last. They are alone where no `LayerMix` asks
for others."""

Pool = Callable[[HiddenStates, Tensor], Tensor]
"""Hidden states and mask (batch, tokens) -> (batch, hidden)"""


def first_token(hidden_states: HiddenStates, mask: Tensor) -> Tensor:
    """The state of the first token."""
    return hidden_states[-1][:, 0]


def mean_of_tokens(hidden_states: HiddenStates, mask: Tensor) -> Tensor:
    """The mean over real tokens; padding has no weight."""
    states = hidden_states[-1]
    weights = mask.unsqueeze(-1).to(states.dtype)  # (batch, tokens, 1)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def last_token(hidden_states: HiddenStates, mask: Tensor) -> Tensor:
    """The state of the last real token."""
    states = hidden_states[-1]
    last = mask.shape[1] - 1 - mask.flip(1).argmax(dim=1)  # (batch,)
    return states[torch.arange(len(states), device=states.device), last]


@final
class Attention(nn.Module):
    """The mean over real tokens, weighted by softmax(h_i · q / √hidden) with a learned q (Yang et al. 2016, NAACL
    N16-1174, equations 5 to 7, without the layer before it). It begins as the plain mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(width))

    def forward(self, hidden_states: HiddenStates, mask: Tensor) -> Tensor:
        """Hidden states and mask (batch, tokens) -> (batch, hidden)"""
        states = hidden_states[-1].float()
        scores = states @ self.query.float() / len(self.query) ** 0.5  # (batch, tokens)
        weights = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min).softmax(dim=1)
        pooled: Tensor = (weights.unsqueeze(-1) * states).sum(dim=1)
        return pooled


@final
class LayerMix(nn.Module):
    """The mean over real tokens of a mix of the last two layers: learned weights that add up to 1, one half each at
    first (Peters et al. 2018, arXiv 1802.05365, equation 1, without its scale)."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(2))

    def forward(self, hidden_states: HiddenStates, mask: Tensor) -> Tensor:
        """Hidden states and mask (batch, tokens) -> (batch, hidden)"""
        before, last = self.weights.softmax(dim=0)
        return mean_of_tokens((before * hidden_states[-2] + last * hidden_states[-1],), mask)


POOLINGS: Final[Mapping[Pooling, Callable[[int], Pool]]] = {
    "cls": lambda width: first_token,
    "mean": lambda width: mean_of_tokens,
    "last": lambda width: last_token,
    "attention": Attention,
    "last_2_layer_mix": lambda width: LayerMix(),
}
"""What makes them, of the width of a token state."""
