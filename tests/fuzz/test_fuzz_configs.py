"""Whatever a config file or an override holds is read, or refused with its place."""

from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damage import damaged, odd, read_or_refused, recoded
from fast_and_slow import examples
from tunery.schema import load_config, load_document
from tunery.schema.config.run import RunConfig
from tunery.schema.space.check import check_space
from tunery.schema.space.default import space_of

CONFIG: Final = b"""\
name: caf\xc3\xa9
task: {kind: multilabel, loss: {name: focal, gamma: 2.5}, threshold: per_label}
data: {train: train.csv, labels: [a, b], label_separator: "|", allow: [shared_rows]}
model: &model
  name: minilm
  max_length: 128
  head: {kind: mlp, hidden: 128}
peft: {method: lora, r: 8, target: [query, value]}
optim: {name: adamw, lr: 1e-3, betas: [0.9, 0.98], no_decay: [bias]}
schedule: {<<: {name: linear}, warmup: 0.1}
train: {epochs: 3, early_stopping: null}
checkpoint: {max_disk: 20GB, every: 10}
tracking: [{kind: tensorboard}]
search: {objective: [f1_macro, memory], sampler: tpe, pruner: {name: median}}
"""
SPACE: Final[dict[str, Any]] = {
    "task": "classification",
    "data": {"train": "train.csv"},
    "peft": {"method": ["none", "lora", "prefix"], "r": {"low": 4, "high": 32, "log": True}, "lora": {"dropout": 0.2}},
    "optim": {"name": ["adamw", "sgd"], "lr": {"low": 1e-5, "high": 1e-2, "log": True}, "betas": [[0.9, 0.99]]},
    "train": {"epochs": {"low": 1, "high": 9, "step": 2}, "batch_size": [8, 16]},
    "freeze": ["none", "adapter"],
}
KEYS: Final = tuple(
    f"{section}.{key}" for section, field in RunConfig.model_fields.items() for key in ("name", "lr", "kind", section)
)


def read(path: Path) -> None:
    read_or_refused(lambda: load_config(path), path.name, "the search space")
    read_or_refused(lambda: check_space(space_of(load_document(path))), path.name, "the search space")


@examples(0.2)
@given(damaged(CONFIG) | recoded(CONFIG))
def test_damaged_yaml(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_bytes(content)
    read(path)


@examples(0.2)
@given(odd(SPACE))
def test_odd_values(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "odd.yaml"
    path.write_bytes(content)
    read(path)


@examples(0.4)
@given(st.lists(st.tuples(st.sampled_from(KEYS) | st.text(), st.text() | damaged(CONFIG[:40]).map(str)), max_size=3))
def test_overrides(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "whole.yaml"
    path.write_bytes(CONFIG)
    overrides = [f"{key}={value}" for key, value in pairs]
    read_or_refused(lambda: load_config(path, overrides), path.name, "the overrides")
