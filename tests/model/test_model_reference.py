"""The pretrained values of what is trained."""

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_model_build import HEAD, batch_for, make

from model_answers import labels_of
from tunery.errors import ModelError
from tunery.model.build import Built
from tunery.model.reference import pretrained_state, reference_of
from tunery.model.trainable import trainable_state
from tunery.schema.config.freeze import FreezeEncoder, FreezeLayers, FreezeToAdapter
from tunery.schema.config.model import LinearHead, MlpHead, Model, NativeHead
from tunery.schema.config.peft import BitFit, LayerNormTuning, Lora
from tunery.store.objects.objects import Objects, Reference

FAMILIES = ("tiny_bert", "tiny_roberta", "tiny_distilbert", "tiny_gpt2")
TRAINED: dict[str, dict[str, Any]] = {
    "full": {},
    "linear head": {"model": {"head": LinearHead()}},
    "mlp head": {"model": {"head": MlpHead(hidden=8)}},
    "upper layers": {"freeze": FreezeLayers(n=1)},
    "biases": {"peft": BitFit()},
    "layer norms": {"peft": LayerNormTuning()},
    "layer norms under an own head": {"peft": LayerNormTuning(), "model": {"head": LinearHead()}},
    "lora and layer norms": {"peft": Lora(), "freeze": FreezeToAdapter(unfreeze_layernorm=True)},
}


def spec_of(folder: Path, changes: dict[str, Any]) -> Model:
    return Model(name=str(folder), **{"head": NativeHead(), **changes.get("model", {})})


def random_states() -> list[Any]:
    numbers: Any = np.random.get_state()
    return [torch.get_rng_state().tolist(), random.getstate(), numbers[1].tolist(), numbers[2]]


def train(built: Built, folder: Path) -> None:
    """Two steps in which only the tokens of one batch are seen."""
    optimizer = torch.optim.AdamW(
        [part for name, part in built.module.named_parameters() if name in built.trainable], lr=1e-4, weight_decay=0
    )
    for _ in range(2):
        labels_of(built.module, **batch_for(folder, built)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("what", TRAINED)
@pytest.mark.parametrize("family", FAMILIES)
def test_all_that_was_pretrained_is_found_by_its_name(family: str, what: str, request: pytest.FixtureRequest) -> None:
    folder, changes = request.getfixturevalue(family), TRAINED[what]
    built = make(folder, **changes)
    before = trainable_state(built)
    train(built, folder)
    states = random_states()
    values = pretrained_state(built, spec=spec_of(folder, changes), outputs=HEAD)
    assert random_states() == states
    assert values.keys() == built.trainable - built.roles.head - built.roles.adapter != set()
    assert all(torch.equal(value, before[name]) for name, value in values.items())


@pytest.mark.parametrize("what", ["full", "linear head", "mlp head"])
@pytest.mark.parametrize("family", FAMILIES)
def test_trained_weights_are_stored_as_what_differs_and_come_back(
    family: str, what: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder, changes = request.getfixturevalue(family), TRAINED[what]
    built = make(folder, **changes)
    train(built, folder)
    load = reference_of(built, spec=spec_of(folder, changes), outputs=HEAD)
    assert load is not None
    objects, reference = Objects(tmp_path), Reference(built.base_digest, load)
    state = trainable_state(built)
    digest, size = objects.put(state, reference=reference)
    assert size < 0.85 * Objects(tmp_path / "alone").put(state).bytes
    again = make(folder, **changes)
    load = reference_of(again, spec=spec_of(folder, changes), outputs=HEAD)
    assert load is not None
    found = objects.get(digest, reference=Reference(again.base_digest, load))
    assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)


@pytest.mark.parametrize(
    "changes", [{"peft": Lora()}, {"peft": BitFit()}, {"freeze": FreezeEncoder()}], ids=["lora", "bitfit", "frozen"]
)
def test_where_little_of_the_base_is_trained_it_is_not_worth_it(tiny_bert: Path, changes: dict[str, Any]) -> None:
    assert reference_of(make(tiny_bert, **changes), spec=spec_of(tiny_bert, changes), outputs=HEAD) is None


def test_the_base_is_read_once(tiny_bert: Path) -> None:
    load = reference_of(make(tiny_bert), spec=spec_of(tiny_bert, {}), outputs=HEAD)
    assert load is not None and load() is load()


def test_a_base_that_has_changed_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(tiny_bert, folder)
    built = make(folder)
    weights = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
    weights["embeddings.word_embeddings.weight"] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"must stay as it was when the run began, but .* now and were .* put them back"
    ):
        pretrained_state(built, spec=spec_of(folder, {}), outputs=HEAD)
