"""Pooling, and the heads of our own."""

from typing import get_args

import pytest
import torch
from torch import nn

from tunery.model.heads import ACTIVATIONS, HEADS, HeadedModel
from tunery.model.pooling import POOLINGS
from tunery.schema.fields import alternatives
from tunery.schema.model import Head, LinearHead, MlpHead, Pooling


def test_tables_and_unions_list_the_same_members() -> None:
    assert set(HEADS) == set(alternatives(Head))
    assert set(POOLINGS) == set(get_args(Pooling))
    assert set(ACTIVATIONS) == set(get_args(MlpHead.model_fields["activation"].annotation))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_changes_nothing(pooling: str) -> None:
    states = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
    noise = torch.where(mask.unsqueeze(-1) == 1, states, torch.full_like(states, 1e6))
    assert torch.equal(POOLINGS[pooling](states, mask), POOLINGS[pooling](noise, mask))


def test_mean_is_the_mean_over_real_tokens() -> None:
    states = torch.arange(6.0).reshape(1, 3, 2)
    assert torch.equal(POOLINGS["mean"](states, torch.tensor([[1, 1, 0]])), torch.tensor([[1.0, 2.0]]))
    assert torch.equal(POOLINGS["cls"](states, torch.tensor([[1, 1, 0]])), torch.tensor([[0.0, 1.0]]))


def test_heads_are_what_the_spec_says() -> None:
    spec = MlpHead(hidden=7, activation="tanh")
    head = HEADS[MlpHead].make(spec, width=5, labels=3, dropout=0.25)
    assert head is not None
    layers = [type(layer) for layer in head.layers.children()]
    assert layers == [nn.Dropout, nn.Linear, nn.Tanh, nn.Dropout, nn.Linear]
    assert [layer.p for layer in head.layers.children() if isinstance(layer, nn.Dropout)] == [0.25, 0.25]
    assert sum(part.numel() for part in head.parameters()) == 5 * 7 + 7 + 7 * 3 + 3


def test_labels_are_left_to_the_loss() -> None:
    class Backbone(nn.Module):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
            return type("Output", (), {"last_hidden_state": torch.ones(2, 3, 5)})

    head = HEADS[LinearHead].make(LinearHead(), width=5, labels=4)
    assert head is not None
    batch = {"input_ids": torch.ones(2, 3), "attention_mask": torch.ones(2, 3), "labels": torch.zeros(2)}
    assert HeadedModel(Backbone(), head)(**batch).logits.shape == (2, 4)
    assert "labels" in batch
