"""Frozen means: no gradient, no change, no dropout."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from tunery.errors import ModelError
from tunery.model.build import Built, build
from tunery.model.freeze import FREEZERS
from tunery.schema.fields import alternatives
from tunery.schema.freeze import Freeze, FreezeEncoder, FreezeLayers, NoFreeze
from tunery.schema.model import LinearHead, Model, NativeHead
from tunery.schema.peft import NoPeft
from tunery.schema.task import HeadSpec

HEAD = HeadSpec(labels=("no", "yes"), problem="single_label")


def make(folder: Path, freeze: Freeze, *, head: NativeHead | LinearHead = NativeHead()) -> Built:  # noqa: B008
    return build(Model(name=str(folder), head=head), head=HEAD, peft=NoPeft(), freeze=freeze)


def test_table_and_union_list_the_same_members() -> None:
    assert set(FREEZERS) == set(alternatives(Freeze))


@pytest.mark.parametrize("name", ["tiny_bert", "tiny_distilbert", "tiny_roberta", "tiny_gpt2"])
def test_depth_says_what_is_trained(name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    for freeze, lowest in [(NoFreeze(), 0), (FreezeLayers(n=0), 0), (FreezeLayers(n=1), 2), (FreezeEncoder(), 3)]:
        built = make(folder, freeze)
        everything = {parameter for parameter, _ in built.module.named_parameters()}
        assert built.owned == {parameter for parameter in everything if built.depth_of(parameter) >= lowest}


@pytest.mark.parametrize("head", [NativeHead(), LinearHead()], ids=lambda head: head.kind)
def test_frozen_parts_stay_in_eval_mode(head: NativeHead | LinearHead, tiny_bert: Path) -> None:
    module = make(tiny_bert, FreezeLayers(n=1), head=head).module.train()
    training = {
        name.removeprefix("bert.").removeprefix("backbone."): part.training for name, part in module.named_modules()
    }
    frozen = {name for name in training if name.startswith(("embeddings", "encoder.layer.0"))}
    assert not any(training[name] for name in frozen)
    assert training["encoder.layer.1.attention.self.dropout"]
    assert not any(part.training for part in module.eval().modules())


def test_a_copy_of_a_frozen_model_is_frozen_on_its_own(tiny_bert: Path) -> None:
    module = make(tiny_bert, FreezeEncoder()).module
    twin = copy.deepcopy(module).train()
    assert not twin.get_submodule("bert.embeddings").training
    assert twin.get_submodule("classifier").training
    assert not any(part.training for part in module.modules())


def test_a_frozen_encoder_answers_the_same_every_time(tiny_bert: Path) -> None:
    backbone = make(tiny_bert, FreezeEncoder()).module.train().get_submodule("bert")
    ids = torch.tensor([[2, 9, 10, 3]])
    first, second = (backbone(input_ids=ids).last_hidden_state for _ in range(2))
    assert torch.equal(first, second)
    assert any(isinstance(part, nn.Dropout) and part.p > 0 for part in backbone.modules())


def test_more_layers_than_there_are_is_refused(tiny_bert: Path) -> None:
    make(tiny_bert, FreezeLayers(n=2))
    with pytest.raises(ModelError, match="`freeze.n <= number of layers` must hold, but got n=3 and the model has 2"):
        make(tiny_bert, FreezeLayers(n=3))
