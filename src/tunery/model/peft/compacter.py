"""Linear layers whose weights are sums of Kronecker products (Karimi Mahabadi et al. 2021, arXiv 2106.04647).

Compacter is a bottleneck adapter made of two of them; `bottleneck.py` puts it in its places.
"""

from collections.abc import Callable
from functools import partial
from typing import final

import torch
from torch import Tensor, nn

from tunery.errors import ModelError
from tunery.model.heads.layers import ACTIVATIONS
from tunery.model.peft.bottleneck import BottleneckAdapter
from tunery.schema.config.peft import Compacter


@final
class PhmLinear(nn.Module):
    """y = x W + b with W = sum_i A_i kron (s_i t_i), of shape (inputs, outputs) (section 3.2, equations 2 and 4).

    Args:
        rule: A, (n, n, n); one parameter for all layers of a model, so it is trained by all of them.
        rank: columns of each s_i, rows of each t_i.
    """

    def __init__(self, inputs: int, outputs: int, *, rule: nn.Parameter, rank: int) -> None:
        super().__init__()
        n = rule.shape[0]
        self.rule = rule  # (n, n, n)
        self.left = nn.Parameter(torch.empty(n, inputs // n, rank))
        self.right = nn.Parameter(torch.empty(n, rank, outputs // n))
        self.bias = nn.Parameter(torch.zeros(outputs))
        for factor in (*self.left, *self.right):
            nn.init.xavier_normal_(factor)

    def forward(self, states: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)"""
        blocks = torch.einsum("nij,nab->iajb", self.rule, self.left @ self.right)
        weight = blocks.reshape(-1, self.bias.shape[0])  # (inputs, outputs)
        return states @ weight + self.bias


def phm_adapter(spec: Compacter, *, width: int) -> Callable[[], nn.Module]:
    """A maker of adapters that share one rule.

    The right factors of the layer that goes up are zero at the start, so an adapter adds exactly nothing; they and the
    bias get gradients in the first step, all else from the second on. The rule is drawn so that weights of the layer
    that goes down are about as large as those of a fresh `nn.Linear`.

    Raises:
        ModelError: `phm_dim` divides the width or the bottleneck with a remainder.
    """
    if width % spec.phm_dim or spec.bottleneck % spec.phm_dim:
        raise ModelError(
            f"`peft.phm_dim` must divide the bottleneck and the width of the model, but got phm_dim={spec.phm_dim}, "
            f"bottleneck={spec.bottleneck} and the width is {width}; take phm_dim=2, or another bottleneck"
        )
    rule = nn.Parameter(torch.empty(spec.phm_dim, spec.phm_dim, spec.phm_dim))
    nn.init.normal_(rule, std=spec.phm_dim**-0.5)
    # a partial and not a closure: a copy of the model then has a rule of its own
    return partial(
        _make,
        spec.bottleneck,
        width=width,
        rule=rule,
        rank=spec.phm_rank,
        activation=spec.activation,
        dropout=spec.dropout,
    )


def _make(
    bottleneck: int, *, width: int, rule: nn.Parameter, rank: int, activation: str, dropout: float
) -> BottleneckAdapter:
    down = PhmLinear(width, bottleneck, rule=rule, rank=rank)
    up = PhmLinear(bottleneck, width, rule=rule, rank=rank)
    nn.init.zeros_(up.right)
    return BottleneckAdapter(down, up, activation=ACTIVATIONS[activation](), dropout=dropout)
