"""The layers of `model.head`: one vector becomes a number for each label."""

from collections.abc import Callable, Mapping
from typing import Final, final

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
    """The mean logits of one linear layer over several dropout masks (Inoue 2019, arXiv 1905.09788, section 3, which
    means losses in place of logits): those of the mean over masks. Without dropout in eval mode."""

    def __init__(self, layer: nn.Linear, *, samples: int, dropout: float) -> None:
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


def _linear(spec: LinearHead, *, width: int, labels: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Dropout(dropout), linear(width, labels))


def _mlp(spec: MlpHead, *, width: int, labels: int, dropout: float) -> nn.Module:
    hidden = (nn.Dropout(dropout), linear(width, spec.hidden), ACTIVATIONS[spec.activation]())
    return nn.Sequential(*hidden, nn.Dropout(dropout), linear(spec.hidden, labels))


def _mlp_residual(spec: MlpResidualHead, *, width: int, labels: int, dropout: float) -> nn.Module:
    block = Residual(width, hidden=spec.hidden, activation=spec.activation, dropout=dropout)
    return nn.Sequential(nn.Dropout(dropout), block, nn.Dropout(dropout), linear(width, labels))


def _gated(spec: GatedHead, *, width: int, labels: int, dropout: float) -> nn.Module:
    block = Gated(width, hidden=spec.hidden, activation=spec.activation)
    return nn.Sequential(nn.Dropout(dropout), block, nn.Dropout(dropout), linear(spec.hidden, labels))


def _multi_sample_dropout(spec: MultiSampleDropoutHead, *, width: int, labels: int, dropout: float) -> nn.Module:
    return MultiSampleDropout(linear(width, labels), samples=spec.samples, dropout=dropout)


LAYERS: Final[Mapping[type[Spec], Callable[..., nn.Module]]] = {
    LinearHead: _linear,
    MlpHead: _mlp,
    MlpResidualHead: _mlp_residual,
    GatedHead: _gated,
    MultiSampleDropoutHead: _multi_sample_dropout,
}
"""Spec of a head -> what makes its layers of that spec, `width` of a vector, number of `labels` and `dropout`."""
