"""Logical names mean the right modules in every family."""

import re
from typing import Any, get_args

import pytest
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from tunery.errors import ModelError
from tunery.model.anatomy import study
from tunery.model.families import HEAD_DROPOUT, LAYOUTS, layout_of, set_head_dropout, target_pattern
from tunery.schema.peft import Target

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 60}
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 60, "bos_token_id": 1, "eos_token_id": 2}
DISTILBERT = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "vocab_size": 60}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", TINY),
    "roberta": ("bert", TINY),
    "xlm-roberta": ("bert", TINY),
    "electra": ("bert", {**TINY, "embedding_size": 16}),
    "longformer": ("bert", {**TINY, "attention_window": [8, 8]}),
    "distilbert": ("distilbert", DISTILBERT),
    "deberta-v2": ("deberta-v2", {**TINY, "relative_attention": True, "position_biased_input": False}),
    "mpnet": ("mpnet", TINY),
    "modernbert": ("modernbert", {**TINY, **IDS}),
    "gpt2": ("gpt2", GPT2),
    "llama": ("llama", TINY),
    "qwen2": ("llama", {**TINY, "num_key_value_heads": 2}),
}
"""Family -> the layout it must be recognised as, and a tiny config."""


def make(family: str) -> Any:
    config = AutoConfig.for_model(family, **FAMILIES[family][1])
    return AutoModelForSequenceClassification.from_config(config)


@pytest.mark.parametrize("family", FAMILIES)
def test_targets_are_the_same_part_in_every_layer(family: str) -> None:
    model = make(family)
    anatomy = study(model.base_model)
    prefix = f"{model.base_model_prefix}.{anatomy.path}"
    names = [name for name, _ in model.named_modules()]
    layout = LAYOUTS[FAMILIES[family][0]]
    for target in get_args(Target):
        pattern = target_pattern(anatomy.layer(model.base_model, 0), path=prefix, targets=[target])
        matched = [name for name in names if re.fullmatch(pattern, name)]
        parts = layout[target]
        assert sorted(matched) == sorted(f"{prefix}.{layer}.{part}" for layer in range(2) for part in parts)
        assert all(model.get_submodule(name).weight.ndim == 2 for name in matched)


@pytest.mark.parametrize("family", FAMILIES)
def test_depth_rises_from_the_embeddings_to_the_top(family: str) -> None:
    backbone = make(family).base_model
    anatomy = study(backbone)
    depths = {name: anatomy.depth_of(name) for name, _ in backbone.named_parameters()}
    assert anatomy.count == 2
    assert set(depths.values()) == {0, 1, 2}
    tables = [name for name, part in backbone.named_modules() if isinstance(part, nn.Embedding)]
    assert tables
    assert {depths[f"{name}.weight"] for name in tables} == {0}


@pytest.mark.parametrize("family", [family for family in FAMILIES if family in HEAD_DROPOUT])
def test_head_dropout_reaches_the_head_and_only_the_head(family: str) -> None:
    config = AutoConfig.for_model(family, **FAMILIES[family][1])
    set_head_dropout(config, 0.375)
    model = AutoModelForSequenceClassification.from_config(config)
    strengths = {name: part.p for name, part in model.named_modules() if isinstance(part, nn.Dropout)}
    changed = [name for name, strength in strengths.items() if strength == 0.375]
    assert changed
    assert not any(name.startswith(f"{model.base_model_prefix}.") for name in changed)


def test_a_head_without_dropout_of_its_own_says_so() -> None:
    message = r"model.head.dropout=0.2 needs .* native head of 'gpt2' has none; remove it, or take model.head.kind"
    with pytest.raises(ModelError, match=message):
        set_head_dropout(AutoConfig.for_model("gpt2"), 0.2)


def test_a_layer_of_no_known_family_lists_what_there_is() -> None:
    layer = nn.ModuleDict({"mixer": nn.Linear(4, 4), "norm": nn.LayerNorm(4)})
    with pytest.raises(ModelError, match="other ones: mixer; take peft.method=none"):
        layout_of(layer)


def test_every_layout_maps_every_target() -> None:
    assert all(set(layout) == set(get_args(Target)) for layout in LAYOUTS.values())
