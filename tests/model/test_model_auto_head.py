"""`model.head: auto`: the pooling that a model was trained with is read from its folder."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tunery.model.backbones.catalog import resolve
from tunery.model.heads.auto import resolved_head
from tunery.model.heads.pooling import POOLINGS
from tunery.schema.config.model import AutoHead, LinearHead, MlpHead, Model


def head_of(folder: Path) -> Any:
    return resolved_head(AutoHead(), resolve(Model(name=str(folder))), {})


def model_folder(folder: Path, family: str, pooling: dict[str, Any] | None) -> Path:
    (folder / "config.json").write_text(json.dumps({"model_type": family}))
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
        modules = [
            {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        ]
        (folder / "modules.json").write_text(json.dumps(modules))
    return folder


@pytest.mark.parametrize(
    ("family", "pooling", "expected"),
    [
        ("bert", None, "mean"),
        ("gpt2", None, "last"),
        ("llama", None, "last"),
        ("bert", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ("bert", {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ("qwen2", {"pooling_mode_lasttoken": True}, "last"),
        ("bert", {"pooling_mode": "cls"}, "cls"),
        ("bert", {"pooling_mode_max_tokens": True}, "mean"),  # none of ours
        ("bert", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "mean"),  # both, concatenated
        ("gpt2", {}, "last"),
    ],
)
def test_the_pooling_of_the_folder(tmp_path: Path, family: str, pooling: dict[str, Any] | None, expected: str) -> None:
    assert head_of(model_folder(tmp_path, family, pooling)) == LinearHead(pooling=expected)


def test_damaged_modules_are_as_none(tmp_path: Path) -> None:
    model_folder(tmp_path, "bert", {"pooling_mode_cls_token": True})
    (tmp_path / "modules.json").write_text('[{"type": 3}]')
    assert head_of(tmp_path) == LinearHead(pooling="mean")


def test_other_heads_stay_as_they_are() -> None:
    assert resolved_head(MlpHead(), resolve(Model()), {}) == MlpHead()


def test_the_last_token_is_the_last_real_one() -> None:
    states = torch.arange(12.0).reshape(2, 3, 2)
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert POOLINGS["last"](2)((states,), mask).tolist() == [[2.0, 3.0], [10.0, 11.0]]
