"""Layers of summed Kronecker products."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_model_families import wrap
from torch import nn

from tunery.errors import ModelError
from tunery.model.peft.compacter import PhmLinear, phm_adapter
from tunery.schema.config.peft import Compacter

SIZES = st.integers(1, 4)


@given(n=SIZES, inputs=SIZES, outputs=SIZES, rank=SIZES, seed=st.integers(0, 99))
def test_the_weight_is_the_sum_of_kronecker_products(n: int, inputs: int, outputs: int, rank: int, seed: int) -> None:
    torch.manual_seed(seed)
    layer = PhmLinear(n * inputs, n * outputs, rule=nn.Parameter(torch.randn(n, n, n)), rank=rank)
    products = [torch.kron(layer.rule[i], layer.left[i] @ layer.right[i]) for i in range(n)]
    states = torch.randn(2, 3, n * inputs)
    assert torch.allclose(layer(states), states @ torch.stack(products).sum(dim=0) + layer.bias, atol=1e-5)


def test_all_layers_share_one_rule() -> None:
    module: Any = wrap("bert", Compacter(bottleneck=8, phm_dim=4))
    layers = [part for part in module.modules() if isinstance(part, PhmLinear)]
    assert len(layers) == 8
    assert len({part.rule for part in layers}) == 1
    assert [name for name, _ in module.named_parameters() if name.endswith("rule")] == [
        "base_model.model.bert.encoder.layer.0.attention.output.dense.bottleneck.default.down.rule"
    ]


def test_fresh_weights_are_about_as_large_as_those_of_a_linear_layer() -> None:
    torch.manual_seed(0)
    adapter: Any = phm_adapter(Compacter(bottleneck=64, dropout=0), width=384)()
    ours = torch.stack([adapter.down(row) for row in torch.eye(384)]).std()
    assert 0.5 < ours / nn.Linear(384, 64).weight.std() < 3


@pytest.mark.parametrize(("bottleneck", "width"), [(64, 30), (30, 64)])
def test_a_width_that_cannot_be_divided_is_refused(bottleneck: int, width: int) -> None:
    with pytest.raises(ModelError, match=f"got phm_dim=4, bottleneck={bottleneck} and the width is {width}; take phm_"):
        phm_adapter(Compacter(bottleneck=bottleneck, phm_dim=4), width=width)
