"""Pooling, and the heads of our own."""

from typing import Any, get_args

import pytest
import torch
from torch import nn

from tunery.errors import ModelError
from tunery.model.heads.coupling import COUPLINGS
from tunery.model.heads.evidence import EVIDENCE_HEADS, Given
from tunery.model.heads.heads import HEADS, NATIVE, HeadedModel, answers_of, loading_of, make_heads
from tunery.model.heads.layers import ACTIVATIONS, LAYERS
from tunery.model.heads.pooling import POOLINGS
from tunery.model.heads.units import PADDED
from tunery.schema.config.model import (
    Activation,
    AutoHead,
    Coupling,
    EvidenceHead,
    Head,
    LinearHead,
    MlpHead,
    Model,
    NativeHead,
    Pooling,
    Tagging,
)
from tunery.schema.config.task import LabelOutput, Output, TokenOutput
from tunery.schema.reading.fields import alternatives


def outputs(labels: int) -> dict[str, Output]:
    return {"labels": LabelOutput(labels=tuple(map(str, range(labels))), problem="single_label")}


def test_tables_and_unions_list_the_same_members() -> None:
    assert set(HEADS) | set(NATIVE) == set(get_args(Output))
    assert set(LAYERS) == set(alternatives(Head)) - {AutoHead, NativeHead}
    assert set(EVIDENCE_HEADS) == set(alternatives(EvidenceHead))
    assert set(COUPLINGS) == set(alternatives(Coupling))
    assert set(POOLINGS) == set(get_args(Pooling))
    assert set(ACTIVATIONS) == set(get_args(Activation))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_changes_nothing(pooling: str) -> None:
    states = torch.randn(2, 2, 5, 4, generator=torch.Generator().manual_seed(0)).unbind()
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
    noise = tuple(torch.where(mask.unsqueeze(-1) == 1, layer, torch.full_like(layer, 1e6)) for layer in states)
    pool = POOLINGS[pooling](4)  # type: ignore[index]
    assert torch.equal(pool(states, mask), pool(noise, mask))


def test_mean_is_the_mean_over_real_tokens() -> None:
    states = (torch.full((1, 3, 2), 4.0), torch.arange(6.0).reshape(1, 3, 2))
    expected = {"mean": [1.0, 2.0], "attention": [1.0, 2.0], "last_2_layer_mix": [2.5, 3.0], "cls": [0.0, 1.0]}
    for name, pooled in expected.items():
        pool = POOLINGS[name](2)  # type: ignore[index]
        assert pool(states, torch.tensor([[1, 1, 0]])).tolist() == [pooled], name


def test_heads_are_what_the_spec_says() -> None:
    spec = MlpHead(hidden=7, activation="tanh")
    heads = make_heads(Model(head=spec), outputs(3), width=5, dropout=0.25)
    assert heads is not None
    head: Any = heads["labels"]
    layers = [type(layer) for layer in head.layers.children()]
    assert layers == [nn.Dropout, nn.Linear, nn.Tanh, nn.Dropout, nn.Linear]
    assert [layer.p for layer in head.layers.children() if isinstance(layer, nn.Dropout)] == [0.25, 0.25]
    assert sum(part.numel() for part in head.parameters()) == 5 * 7 + 7 + 7 * 3 + 3


class Backbone(nn.Module):
    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
        return type("Output", (), {"last_hidden_state": torch.ones(2, 3, 5)})


def test_every_output_has_a_head_and_answers_by_its_name() -> None:
    asked = {**outputs(4), "tokens": TokenOutput(labels=("a", "b"))}
    for spec in (LinearHead(), MlpHead(hidden=6)):
        heads = make_heads(Model(head=spec), asked, width=5)
        assert heads is not None
        batch = {"input_ids": torch.ones(2, 3), "attention_mask": torch.ones(2, 3)}
        answers = answers_of(HeadedModel(Backbone(), heads), batch, asked)
        assert {name: tuple(answer.shape) for name, answer in answers.items()} == {
            "labels": (2, 4),
            "tokens": (2, 3, 2),
        }


def test_no_architecture_has_a_head_of_its_own_for_two_outputs() -> None:
    with pytest.raises(ModelError, match=r"asks the model for labels, tokens; take model\.head\.kind=linear"):
        loading_of(NativeHead(), {**outputs(4), "tokens": TokenOutput(labels=("a",))})
    with pytest.raises(ModelError, match="gives one vector a text"):
        loading_of(NativeHead(), {"tokens": TokenOutput(labels=("a",))})


@pytest.mark.parametrize("reach", [0, 1, 3])
def test_scores_of_tagging_are_means_of_neighbouring_units_that_are_there(reach: int) -> None:
    draw = torch.Generator().manual_seed(0)
    units, queries = torch.randn(2, 6, 4, generator=draw), torch.randn(3, 4, generator=draw)
    real = torch.tensor([[True] * 6, [True, True, False, True, False, False]])
    plain, smooth = (
        EVIDENCE_HEADS[Tagging](Tagging(neighbours=number), Given(width=4, labels=3, dropout=0.0, neighbours=9))
        for number in (0, reach)
    )
    scores, found = plain(units, real, queries)["units"], smooth(units, real, queries)["units"]
    for text in range(2):
        for unit in range(6):
            near = [u for u in range(6) if abs(u - unit) <= reach and real[text, u]]
            wanted = scores[text, near].mean(dim=0) if real[text, unit] else torch.full((3,), PADDED)
            assert torch.allclose(found[text, unit], wanted, atol=1e-6)


def test_neighbours_are_those_of_the_task_where_the_head_does_not_say() -> None:
    given = Given(width=4, labels=3, dropout=0.0, neighbours=2)
    numbers = {spec.neighbours: EVIDENCE_HEADS[Tagging](spec, given) for spec in (Tagging(), Tagging(neighbours=0))}
    assert {said: head.neighbours for said, head in numbers.items()} == {None: 2, 0: 0}
