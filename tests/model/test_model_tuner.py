"""Adapters in a model: their names, copies of it, and what a layer does to the flow."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from model_answers import labels_of
from tunery.model.build import Built, build
from tunery.model.peft.tuner import AdapterLayer, After, AroundNorm, Beside, saved_name
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import Model, NativeHead
from tunery.schema.config.peft import Compacter, Houlsby, Pfeiffer
from tunery.schema.config.task import LabelOutput

LABELS = {"labels": LabelOutput(labels=("no", "yes"), problem="single_label")}
TOKENS = torch.arange(6, 30).reshape(2, 12)


def make(folder: Path, peft: Any) -> Built:
    torch.manual_seed(1)
    built = build(Model(name=str(folder), head=NativeHead()), outputs=LABELS, peft=peft, freeze=NoFreeze())
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


def test_names_of_parameters_are_stable(tiny_distilbert: Path) -> None:
    built = make(tiny_distilbert, Pfeiffer(bottleneck=4))
    assert {name for name in built.trainable if ".layer.0." in name} == {
        f"base_model.model.distilbert.transformer.layer.0.output_layer_norm.bottleneck.default.{part}"
        for part in ("down.weight", "down.bias", "up.weight", "up.bias")
    }
    plain = {saved_name(name) for name, _ in built.module.named_parameters()}
    assert "distilbert.transformer.layer.1.output_layer_norm.bottleneck.up.bias" in plain
    assert "distilbert.transformer.layer.1.output_layer_norm.weight" in plain


def test_a_block_input_is_forgotten_when_it_was_read(tiny_gpt2: Path) -> None:
    built = make(tiny_gpt2, Houlsby(bottleneck=4, parallel=True))
    built.train()
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
        layer.put(adapter)
        return layer

    assert torch.equal(at(After(dense, scale=2))(wide), dense(wide) + 2 * adapter(dense(wide)))
    assert torch.equal(at(AroundNorm(norm, scale=2))(states), norm(states + 2 * adapter(norm(states))))
    source, beside = nn.Linear(4, 6), at(Beside(dense, scale=2))
    beside.watch_input(source, within=source)
    inner = source(states)
    assert torch.equal(beside(inner), dense(inner) + 2 * adapter(states))
