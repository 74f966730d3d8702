"""Frozen means: no gradient, no change, no dropout."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tunery.errors import ModelError
from tunery.model.backbones.dropout import Dropouts
from tunery.model.backbones.families import is_norm
from tunery.model.backbones.freeze import FREEZERS
from tunery.model.build import Built, build
from tunery.schema.config.freeze import Freeze, FreezeEncoder, FreezeLayers, FreezeToAdapter, NoFreeze, frozen_in_eval
from tunery.schema.config.model import LinearHead, Model, NativeHead
from tunery.schema.config.peft import BitFit, LayerNormTuning, Lora, NoPeft, Peft, Pfeiffer
from tunery.schema.config.task import LabelOutput
from tunery.schema.reading.fields import alternatives

HEAD = {"labels": LabelOutput(labels=("no", "yes"), problem="single_label")}
FAMILIES = ("tiny_bert", "tiny_distilbert", "tiny_roberta", "tiny_gpt2")
HEADS = (NativeHead(), LinearHead())


def make(
    folder: Path,
    freeze: Freeze,
    *,
    head: NativeHead | LinearHead = NativeHead(),  # noqa: B008
    peft: Peft = NoPeft(),  # noqa: B008
    **more: Any,
) -> Built:
    torch.manual_seed(0)
    return build(Model(name=str(folder), head=head), outputs=HEAD, peft=peft, freeze=freeze, **more)


def test_table_and_union_list_the_same_members() -> None:
    assert set(FREEZERS) == set(alternatives(Freeze))


@pytest.mark.parametrize("name", FAMILIES)
def test_depth_says_what_is_trained(name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    for freeze, lowest in [(NoFreeze(), 0), (FreezeLayers(n=0), 0), (FreezeLayers(n=1), 2), (FreezeEncoder(), 3)]:
        built = make(folder, freeze)
        everything = {parameter for parameter, _ in built.module.named_parameters()}
        assert built.trainable == {parameter for parameter in everything if built.roles.depth_of(parameter) >= lowest}


@pytest.mark.parametrize("peft", [NoPeft(), Lora(), Pfeiffer()], ids=lambda peft: peft.method)
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
@pytest.mark.parametrize("name", FAMILIES)
def test_unfrozen_norms_are_trained_in_place_and_beside_a_method(
    name: str, head: NativeHead | LinearHead, peft: Peft, request: pytest.FixtureRequest
) -> None:
    folder, kind = request.getfixturevalue(name), FreezeEncoder if isinstance(peft, NoPeft) else FreezeToAdapter
    without, built = (make(folder, kind(unfreeze_layernorm=yes), head=head, peft=peft) for yes in (False, True))
    plain = make(folder, NoFreeze(), head=head).module
    norms = sum(part.numel() for module in plain.modules() if is_norm(module) for part in module.parameters())
    assert norms and trained(built) - trained(without) == norms


@pytest.mark.parametrize("peft", [NoPeft(), Lora(), Pfeiffer()], ids=lambda peft: peft.method)
def test_an_unfrozen_pooler_is_trained(peft: Peft, tiny_bert: Path) -> None:
    kind = FreezeEncoder if isinstance(peft, NoPeft) else FreezeToAdapter
    without, built = (make(tiny_bert, kind(unfreeze_pooler=yes), peft=peft) for yes in (False, True))
    assert trained(built) - trained(without) == 32 * 32 + 32
    assert {name for name in built.trainable if "pooler" in name} and not built.roles.head & {"pooler"}


@pytest.mark.parametrize("freeze", [FreezeEncoder(unfreeze_pooler=True), FreezeLayers(n=1, unfreeze_pooler=True)])
def test_a_pooler_that_is_not_there_is_missed(
    freeze: Freeze, tiny_bert: Path, tiny_distilbert: Path, tiny_roberta: Path
) -> None:
    for folder in (tiny_distilbert, tiny_roberta):
        with pytest.raises(ModelError, match="freeze.unfreeze_pooler=true needs a model with a pooler, .* remove it"):
            make(folder, freeze)
    with pytest.raises(ModelError, match="only model.head.kind=native reads a pooler"):
        make(tiny_bert, freeze, head=LinearHead())


def test_more_layers_than_there_are_is_refused(tiny_bert: Path) -> None:
    make(tiny_bert, FreezeLayers(n=2))
    with pytest.raises(ModelError, match="`freeze.n <= number of layers` must hold, but got n=3 and the model has 2"):
        make(tiny_bert, FreezeLayers(n=3))


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
def test_frozen_parts_stay_in_eval_mode(head: NativeHead | LinearHead, tiny_bert: Path) -> None:
    module = make(tiny_bert, FreezeLayers(n=1), head=head).train()
    training = {
        name.removeprefix("bert.").removeprefix("backbone."): part.training for name, part in module.named_modules()
    }
    frozen = {name for name in training if name.startswith(("embeddings", "encoder.layer.0"))}
    assert not any(training[name] for name in frozen)
    assert training["encoder.layer.1.attention.self.dropout"]
    assert not any(part.training for part in module.eval().modules())


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
@pytest.mark.parametrize("name", FAMILIES)
def test_under_a_method_the_dropout_of_the_base_is_off_and_its_own_is_on(
    name: str, head: NativeHead | LinearHead, request: pytest.FixtureRequest
) -> None:
    module = make(request.getfixturevalue(name), NoFreeze(), head=head, peft=Lora(dropout=0.5)).train()
    active = {name for name, part in module.named_modules() if isinstance(part, nn.Dropout) and part.training}
    ours = {name for name in active if ".lora_dropout." in name}
    assert len(ours) >= 2
    inside = ("bert.", "roberta.", "distilbert.", "transformer.", "backbone.")
    assert not any(name.removeprefix("base_model.model.").startswith(inside) for name in active - ours)


@pytest.mark.parametrize(("dropout", "same"), [(0.0, True), (0.5, False)])
def test_outputs_tell_whether_dropout_is_on(dropout: float, same: bool, tiny_bert: Path) -> None:
    """With the dropout of the base at rest, only the method's own makes two passes differ."""
    off = Dropouts(head=0)
    built = make(tiny_bert, NoFreeze(), head=LinearHead(), peft=Lora(dropout=dropout), dropout=off)
    for name, part in built.module.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(part)
    assert repeats(built.train()) == same


@pytest.mark.parametrize("freeze", [FreezeEncoder(), FreezeEncoder(eval_mode=False)], ids=lambda f: str(f.eval_mode))
def test_a_frozen_encoder_repeats_itself_unless_told_otherwise(freeze: FreezeEncoder, tiny_bert: Path) -> None:
    module = make(tiny_bert, freeze).train()
    assert any(isinstance(part, nn.Dropout) and part.p > 0 for part in module.get_submodule("bert").modules())
    assert repeats(module.get_submodule("bert")) == freeze.eval_mode


@pytest.mark.parametrize(
    ("peft", "freeze"),
    [
        (NoPeft(), FreezeEncoder(unfreeze_layernorm=True)),
        (Lora(), FreezeToAdapter(unfreeze_layernorm=True)),
        (LayerNormTuning(), NoFreeze()),
    ],
    ids=["full", "lora", "layernorm"],
)
def test_what_holds_a_trained_norm_follows_the_mode_and_what_is_beside_it_rests(
    peft: Peft, freeze: Freeze, tiny_bert: Path
) -> None:
    module = make(tiny_bert, freeze, peft=peft).train()
    modes = {name.removeprefix("base_model.model."): part.training for name, part in module.named_modules()}
    assert modes["bert.embeddings.dropout"] and modes["bert.encoder.layer.0.output.dropout"]
    assert not modes["bert.encoder.layer.0.attention.self.dropout"]


def test_trained_biases_keep_their_modules_awake(tiny_bert: Path) -> None:
    module = make(tiny_bert, NoFreeze(), peft=BitFit()).train()
    awake = [part.training for part in module.modules() if isinstance(part, nn.Dropout)]
    assert awake and all(awake)


def test_the_record_says_what_the_config_means() -> None:
    assert frozen_in_eval(NoFreeze(), NoPeft()) is None
    assert frozen_in_eval(FreezeLayers(n=0), NoPeft()) is None
    assert frozen_in_eval(NoFreeze(), Lora()) is True
    assert frozen_in_eval(FreezeEncoder(), NoPeft()) is True
    assert frozen_in_eval(FreezeToAdapter(eval_mode=False), Lora()) is False


def trained(built: Built) -> int:
    return sum(built.module.get_parameter(name).numel() for name in built.trainable)


def repeats(module: nn.Module) -> bool:
    ids = torch.tensor([[2, 9, 10, 3]])
    first, second = (module(input_ids=ids, attention_mask=torch.ones_like(ids)) for _ in range(2))
    return all(torch.equal(one, other) for one, other in zip(first.values(), second.values(), strict=True))
