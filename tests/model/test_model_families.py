"""Logical names mean the right modules in every family."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from families import FAMILIES
from model_answers import labels_of
from tunery.errors import ModelError
from tunery.model.backbones.backbone import learned_positions, longest_input
from tunery.model.backbones.catalog import Base
from tunery.model.backbones.families import LAYOUTS, is_norm, is_transposed, layout_of, target_pattern
from tunery.model.backbones.structure import find_layers
from tunery.model.peft.method import LoadedBase
from tunery.model.peft.methods import METHODS
from tunery.schema.config.peft import Ia3, LayerNormTuning, Lora, Target
from tunery.schema.spec import Spec

LISTED = {family: 1 if family == "albert" else 2 for family in FAMILIES}
"""How many layers a family lists; ALBERT runs through one list of one twice."""

SHAPES = {
    "query": (32, 32),
    "key": (32, 32),
    "value": (32, 32),
    "output": (32, 32),
    "ffn.up": (32, 64),
    "ffn.down": (64, 32),
}
FUSED = dict.fromkeys(("query", "key", "value"), (32, 96))
ODD_SHAPES: dict[str, dict[str, tuple[int, int]]] = {
    "deberta": FUSED,
    "modernbert": {**FUSED, "ffn.up": (32, 128)},  # and a gate in one matrix with what it gates
    "gpt2": {**FUSED, "ffn.up": (32, 128), "ffn.down": (128, 32)},
    "qwen2": dict.fromkeys(("key", "value"), (32, 16)),
    "qwen3": dict.fromkeys(("key", "value"), (32, 16)),
}
"""(in, out) where a family differs."""

OUT_OF_REACH = {
    "longformer": (
        r"layer\.1\.attention\.self\.(query|key|value)\.",
        "the native head reads the first token only, whose global attention has matrices of its own; in the last layer "
        "the matrices of all other tokens therefore reach nothing",
    )
}
"""Family -> what never gets a gradient under the native head, and why."""

ALL_SIX: tuple[Target, ...] = get_args(Target)


def make(family: str) -> Any:
    config = AutoConfig.for_model(family, **FAMILIES[family][1])
    config.pad_token_id = 0
    return AutoModelForSequenceClassification.from_config(config)


def wrap(family: str, spec: Spec) -> Any:
    model = make(family)
    prefix = f"{model.base_model_prefix}."
    whole = sorted({name.partition(".")[0] for name, _ in model.named_parameters() if not name.startswith(prefix)})
    carrier = LoadedBase(model, find_layers(model.base_model), prefix, tuple(whole), "SEQ_CLS")
    return METHODS[type(spec)].wrap(spec, carrier).module


def shape_of(module: Any) -> tuple[int, ...]:
    """(in, out)"""
    rows, columns = module.weight.shape
    return (columns, rows) if isinstance(module, nn.Linear) else (rows, columns)


@pytest.mark.parametrize("family", FAMILIES)
def test_targets_are_the_same_part_in_every_layer(family: str) -> None:
    model = make(family)
    structure = find_layers(model.base_model)
    prefix = f"{model.base_model_prefix}.{structure.path}"
    names = [name for name, _ in model.named_modules()]
    layout = LAYOUTS[FAMILIES[family][0]]
    for target in get_args(Target):
        pattern = target_pattern(structure.layer(model.base_model, 0), path=prefix, targets=[target])
        matched = [name for name in names if re.fullmatch(pattern, name)]
        parts = layout[target]
        layers = range(LISTED[family])
        assert sorted(matched) == sorted(f"{prefix}.{layer}.{part}" for layer in layers for part in parts)
        shape = ODD_SHAPES.get(family, {}).get(target, SHAPES[target])
        assert {shape_of(model.get_submodule(name)) for name in matched} == {shape}


@pytest.mark.parametrize("spec", [Lora(r=2, target=ALL_SIX), Ia3(), LayerNormTuning()], ids=lambda spec: spec.method)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains_all_that_a_method_adds(family: str, spec: Spec) -> None:
    module = wrap(family, spec)
    owned = {name: part for name, part in module.named_parameters() if part.requires_grad}
    felt = dict.fromkeys(owned, False)
    optimizer = torch.optim.AdamW(owned.values(), lr=0.01)
    tokens, labels = torch.arange(3, 51).reshape(4, 12), torch.tensor([0, 1, 1, 0])
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(labels_of(module.train(), input_ids=tokens), labels).backward()
        for name, part in owned.items():
            felt[name] |= part.grad is not None and bool(part.grad.any())
        optimizer.step()
    silent = {name for name, reached in felt.items() if not reached}
    out_of_reach, _ = OUT_OF_REACH.get(family, ("", ""))
    if spec.method == "layernorm" or not out_of_reach:  # type: ignore[attr-defined]
        assert not silent
    else:
        assert silent == {name for name in owned if re.search(out_of_reach, name)}


def test_only_gpt2_keeps_its_matrices_the_other_way_round() -> None:
    found = {
        family: is_transposed(find_layers(b := make(family).base_model).layer(b, 0), ALL_SIX) for family in FAMILIES
    }
    assert [family for family, transposed in found.items() if transposed] == ["gpt2"]


@pytest.mark.parametrize("family", FAMILIES)
def test_norms_are_found_by_type(family: str) -> None:
    """All that is one-dimensional, but for biases, is a norm's."""
    model = make(family)
    norms = {f"{name}.weight" for name, part in model.named_modules() if is_norm(part)}
    flat = {name for name, part in model.named_parameters() if part.ndim == 1 and name.endswith("weight")}
    assert flat == norms


@pytest.mark.parametrize("family", FAMILIES)
def test_depth_rises_from_the_embeddings_to_the_top(family: str) -> None:
    backbone = make(family).base_model
    structure = find_layers(backbone)
    depths = {name: structure.depth_of(name) for name, _ in backbone.named_parameters()}
    assert structure.count == LISTED[family]
    assert set(depths.values()) == set(range(structure.count + 1))
    tables = [name for name, part in backbone.named_modules() if isinstance(part, nn.Embedding)]
    assert tables
    assert {depths[f"{name}.weight"] for name in tables} == {0}


def test_a_layer_of_no_known_family_lists_what_there_is() -> None:
    layer = nn.ModuleDict({"mixer": nn.Linear(4, 4), "norm": nn.LayerNorm(4)})
    with pytest.raises(ModelError, match="other ones: mixer; take peft.method=full"):
        layout_of(layer)


def test_every_layout_maps_every_target() -> None:
    assert all(set(layout) == set(get_args(Target)) for layout in LAYOUTS.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_how_many_positions_a_base_has_is_known_without_its_weights(family: str, tmp_path: Path) -> None:
    config = AutoConfig.for_model(family, **FAMILIES[family][1])
    config.save_pretrained(tmp_path)
    found = learned_positions(Base(str(tmp_path), str(tmp_path), None, local=True))
    known = family != "longformer"  # whose config has a list with an entry for each layer
    assert found == (longest_input(AutoModel.from_config(config)) if known else None)
    assert (found is None) == (family in ("longformer", "deberta-v2", "modernbert", "llama", "qwen2", "qwen3"))
