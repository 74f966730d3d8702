"""The layers of `model.head`: one vector becomes a number for each label."""

from collections.abc import Callable, Mapping
from typing import Final, final

import torch
from torch import Tensor, nn

from tunery.schema.config.model import (
    Activation,
    GatedHead,
    LinearHead,
    MlpHead,
    MlpResidualHead,
    MultiSampleDropoutHead,
)
from tunery.schema.spec import Spec

ACTIVATIONS: Final[Mapping[str, type[nn.Module]]] = {
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "mish": nn.Mish,
    "tanh": nn.Tanh,
}

WEIGHT_STD = 0.02
"""Standard deviation of new weights, as the BERT family draws them (Devlin et al. 2018, released code)."""


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A layer with small random weights and biases of zero."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=WEIGHT_STD)
    nn.init.zeros_(layer.bias)
    return layer


@final
class LevelLinear(nn.Module):
    """w x + b_k for every level k but the highest: one weight vector for all of them, so that they differ by an offset
    alone (CORAL: Cao, Mirjalili & Raschka 2020, arXiv 1901.07884, section 3.3). Offsets are taken in falling order,
    which they have at the minimum of the loss (theorem 1 there), so that no level has a probability below 0. Those of a
    new layer make all levels equally likely where w x is 0."""

    def __init__(self, inputs: int, *, levels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, inputs).normal_(std=WEIGHT_STD))
        above = torch.arange(levels - 1, 0, -1, dtype=torch.float32) / levels
        self.bias = nn.Parameter(above.logit())

    def forward(self, states: Tensor) -> Tensor:
        """(..., width) -> (..., levels - 1)"""
        offsets = self.bias.sort(descending=True).values
        return nn.functional.linear(states, self.weight) + offsets

    def as_linear(self) -> nn.Linear:
        """A plain layer that answers the same, with a copy of the weights for each level."""
        plain = nn.Linear(self.weight.shape[1], len(self.bias))
        with torch.no_grad():
            plain.weight.copy_(self.weight.expand_as(plain.weight))
            plain.bias.copy_(self.bias.sort(descending=True).values)
        return plain


Last = Callable[[int], nn.Module]
"""Makes the last layer of a head from the width of what it reads."""


@final
class Residual(nn.Module):
    """x + V act(U x): almost the identity at first."""

    def __init__(self, width: int, *, hidden: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        inner = (linear(width, hidden), ACTIVATIONS[activation](), nn.Dropout(dropout), linear(hidden, width))
        self.block = nn.Sequential(*inner)

    def forward(self, states: Tensor) -> Tensor:
        """(..., width) -> (..., width)"""
        changed: Tensor = self.block(states)
        return states + changed


@final
class Gated(nn.Module):
    """σ(G x) ⊙ act(W x)"""

    def __init__(self, width: int, *, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.gate = linear(width, hidden)
        self.value = linear(width, hidden)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, states: Tensor) -> Tensor:
        """(..., width) -> (..., hidden)"""
        gated: Tensor = self.gate(states).sigmoid() * self.activation(self.value(states))
        return gated


@final
class MultiSampleDropout(nn.Module):
    """The mean logits of one layer over several dropout masks (Inoue 2019, arXiv 1905.09788, section 3, which
    means losses in place of logits): those of the mean over masks. Without dropout in eval mode."""

    def __init__(self, layer: nn.Module, *, samples: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.layer = layer
        self.samples = samples

    def forward(self, states: Tensor) -> Tensor:
        """(..., width) -> (..., labels)"""
        if self.training:
            states = self.dropout(states.expand(self.samples, *states.shape)).mean(dim=0)
        logits: Tensor = self.layer(states)
        return logits


def _linear(spec: LinearHead, *, width: int, last: Last, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Dropout(dropout), last(width))


def _mlp(spec: MlpHead, *, width: int, last: Last, dropout: float) -> nn.Module:
    hidden = (nn.Dropout(dropout), linear(width, spec.hidden), ACTIVATIONS[spec.activation]())
    return nn.Sequential(*hidden, nn.Dropout(dropout), last(spec.hidden))


def _mlp_residual(spec: MlpResidualHead, *, width: int, last: Last, dropout: float) -> nn.Module:
    block = Residual(width, hidden=spec.hidden, activation=spec.activation, dropout=dropout)
    return nn.Sequential(nn.Dropout(dropout), block, nn.Dropout(dropout), last(width))


def _gated(spec: GatedHead, *, width: int, last: Last, dropout: float) -> nn.Module:
    block = Gated(width, hidden=spec.hidden, activation=spec.activation)
    return nn.Sequential(nn.Dropout(dropout), block, nn.Dropout(dropout), last(spec.hidden))


def _multi_sample_dropout(spec: MultiSampleDropoutHead, *, width: int, last: Last, dropout: float) -> nn.Module:
    return MultiSampleDropout(last(width), samples=spec.samples, dropout=dropout)


LAYERS: Final[Mapping[type[Spec], Callable[..., nn.Module]]] = {
    LinearHead: _linear,
    MlpHead: _mlp,
    MlpResidualHead: _mlp_residual,
    GatedHead: _gated,
    MultiSampleDropoutHead: _multi_sample_dropout,
}
"""Spec of a head -> what makes its layers of that spec, `width` of a vector, the `last` of them and `dropout`."""
