"""Adapters side by side: adding, switching, disabling, copying; and what a layer does to the flow."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from model_answers import labels_of
from tunery.errors import ModelError
from tunery.model.backbones.catalog import resolve
from tunery.model.build import Built, build, load_carrier
from tunery.model.peft.bottleneck import Adapters, after_feed_forward, houlsby_places, linear_adapter
from tunery.model.peft.tuner import AdapterLayer, After, AroundNorm, Beside, saved_name
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import Model
from tunery.schema.config.peft import Compacter, Houlsby, Pfeiffer
from tunery.schema.config.task import LabelOutput

LABELS = {"labels": LabelOutput(labels=("no", "yes"), problem="single_label")}
PFEIFFER = Adapters(places=after_feed_forward, make=linear_adapter)
HOULSBY = Adapters(places=houlsby_places, make=linear_adapter)
TOKENS = torch.arange(6, 30).reshape(2, 12)


def make(folder: Path, peft: Any) -> Built:
    torch.manual_seed(1)
    built = build(Model(name=str(folder)), outputs=LABELS, peft=peft, freeze=NoFreeze())
    stir(built.module)
    return built


def stir(module: nn.Module) -> None:
    """As if it had been trained."""
    with torch.no_grad():
        for name, part in module.named_parameters():
            if "bottleneck" in name:
                part.add_(torch.randn_like(part), alpha=0.1)


def answer(module: Any) -> torch.Tensor:
    logits: torch.Tensor = labels_of(module.eval(), input_ids=TOKENS, attention_mask=torch.ones_like(TOKENS)).detach()
    return logits


def trained(module: nn.Module) -> set[str]:
    return {name for name, part in module.named_parameters() if part.requires_grad}


@pytest.mark.parametrize(
    "second", [Pfeiffer(bottleneck=4), Houlsby(bottleneck=4), Houlsby(bottleneck=4, parallel=True)]
)
def test_adapters_on_one_base_are_switched_and_disabled(tiny_bert: Path, second: Any) -> None:
    adapted: Any = make(tiny_bert, Houlsby(bottleneck=8)).module
    carrier, _ = load_carrier(Model(name=str(tiny_bert)), base=resolve(Model(name=str(tiny_bert))), outputs=LABELS)
    with adapted.without_adapters():
        bare = answer(adapted)
    first, owned = answer(adapted), trained(adapted)
    adapted.base_model.add_adapter(
        "second", (HOULSBY if isinstance(second, Houlsby) else PFEIFFER).config(second, carrier)
    )
    assert torch.equal(answer(adapted), first)
    assert {saved_name(name) for name in trained(adapted)} == {saved_name(name) for name in owned}
    stir(adapted)
    first = answer(adapted)
    adapted.base_model.set_adapter("second")
    other = answer(adapted)
    assert not torch.allclose(other, first) and not torch.allclose(other, bare)
    assert {name for name in trained(adapted) if "bottleneck" in name} == {
        name for name, _ in adapted.named_parameters() if ".bottleneck.second." in name
    }
    adapted.base_model.set_adapter(["default", "second"])
    assert not torch.allclose(answer(adapted), first)
    adapted.base_model.set_adapter("default")
    assert torch.equal(answer(adapted), first)
    assert {saved_name(name) for name in trained(adapted)} == {saved_name(name) for name in owned}
    adapted.base_model.disable_adapter_layers()
    assert torch.equal(answer(adapted), bare)


def test_a_name_that_is_taken_or_unknown_is_refused(tiny_bert: Path) -> None:
    tuner: Any = make(tiny_bert, Pfeiffer(bottleneck=4)).module.base_model
    with pytest.raises(ModelError, match="but 'default' is taken; choose another"):
        tuner.add_adapter("default", tuner.peft_config["default"])
    with pytest.raises(ModelError, match="no adapter is called 'defualt'; did you mean 'default'?"):
        tuner.set_adapter("defualt")


def test_names_of_parameters_are_stable(tiny_distilbert: Path) -> None:
    built = make(tiny_distilbert, Pfeiffer(bottleneck=4))
    assert {name for name in built.owned if ".layer.0." in name} == {
        f"base_model.model.distilbert.transformer.layer.0.output_layer_norm.bottleneck.default.{part}"
        for part in ("down.weight", "down.bias", "up.weight", "up.bias")
    }
    plain = {saved_name(name) for name, _ in built.module.named_parameters()}
    assert "distilbert.transformer.layer.1.output_layer_norm.bottleneck.up.bias" in plain
    assert "distilbert.transformer.layer.1.output_layer_norm.weight" in plain


def test_a_block_input_is_forgotten_when_it_was_read(tiny_gpt2: Path) -> None:
    built = make(tiny_gpt2, Houlsby(bottleneck=4, parallel=True))
    built.module.train()
    with torch.no_grad():
        built.module(input_ids=TOKENS)
    labels_of(built.module, input_ids=TOKENS).sum().backward()
    layers = [part for part in built.module.modules() if isinstance(part, Beside)]
    assert len(layers) == 4
    assert all(layer._seen is None for layer in layers)


def pickled(module: nn.Module) -> Any:
    return pickle.loads(pickle.dumps(module))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled])
@pytest.mark.parametrize("peft", [Houlsby(bottleneck=4, parallel=True), Compacter(bottleneck=4, phm_dim=2)])
def test_a_copy_stands_alone(tiny_bert: Path, duplicate: Any, peft: Any) -> None:
    module = make(tiny_bert, peft).module
    before, other = answer(module), duplicate(module)
    assert torch.equal(answer(other), before)
    with torch.no_grad():
        for part in other.parameters():
            part.mul_(1.5)
    assert torch.equal(answer(module), before)


def test_each_layer_adds_what_its_formula_says() -> None:
    torch.manual_seed(0)
    dense, norm, adapter = nn.Linear(6, 4), nn.LayerNorm(4), nn.Linear(4, 4)
    wide, states = torch.randn(2, 3, 6), torch.randn(2, 3, 4)

    def at(layer: AdapterLayer) -> AdapterLayer:
        layer.put("default", adapter)
        layer.set_adapter("default")
        return layer

    assert torch.equal(at(After(dense, scale=2))(wide), dense(wide) + 2 * adapter(dense(wide)))
    assert torch.equal(at(AroundNorm(norm, scale=2))(states), norm(states + 2 * adapter(norm(states))))
    source, beside = nn.Linear(4, 6), at(Beside(dense, scale=2))
    beside.listen(source, within=source)
    inner = source(states)
    assert torch.equal(beside(inner), dense(inner) + 2 * adapter(states))
