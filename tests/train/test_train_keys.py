"""Every key that should change a run changes it, and every key that should not does not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiny_runs import StopAt, config, write_rows
from tunery import load
from tunery.data.examples import Example
from tunery.errors import Interrupted
from tunery.train.fit import fit

BASE: dict[str, Any] = {
    "model": {"max_length": 32, "precision": "fp32", "head": {"kind": "native"}},
    "optim": {"name": "adamw", "lr": 3e-3, "weight_decay": 0.01},
    "schedule": {"name": "linear", "warmup": 0.1},
    "regularization": {"head_dropout": 0.1, "encoder_dropout": 0.1, "attention_dropout": 0.1},
    "train": {"epochs": 1, "batch_size": 8, "log_every": 2},
}

CHANGES: dict[str, dict[str, Any]] = {
    "seed": {"seed": 1},
    "max_length": {"model": {"max_length": 8}},
    "precision": {"model": {"precision": "bf16"}},
    "head": {"model": {"head": {"kind": "linear"}}},
    "head.pooling": {"model": {"head": {"kind": "linear", "pooling": "cls"}}},
    "head.activation": {"model": {"head": {"kind": "mlp", "activation": "relu"}}},
    "peft": {"peft": {"method": "bitfit"}},
    "freeze": {"freeze": {"strategy": "freeze_layers_n", "n": 1}},
    "lr": {"optim": {"lr": 1e-3}},
    "head_lr": {"optim": {"head_lr": 1e-3}},
    "weight_decay": {"optim": {"weight_decay": 0.5}},
    "betas": {"optim": {"betas": [0.5, 0.9]}},
    "eps": {"optim": {"eps": 1e-2}},
    "optimizer": {"optim": {"name": "sgd_momentum"}},
    "schedule": {"schedule": {"name": "cosine"}},
    "warmup": {"schedule": {"warmup": 0.5}},
    "layerwise_lr_decay": {"optim": {"layerwise_lr_decay": 0.5}},
    "no_decay": {"optim": {"weight_decay": 0.5, "no_decay": []}},
    "gradient_clipping": {"regularization": {"gradient_clipping": 0.01}},
    "head_dropout": {"regularization": {"head_dropout": 0.4}},
    "encoder_dropout": {"regularization": {"encoder_dropout": 0.4}},
    "attention_dropout": {"regularization": {"attention_dropout": 0.4}},
    "token_dropout": {"regularization": {"token_dropout": 0.2}},
    "label_smoothing": {"regularization": {"label_smoothing": 0.1}},
    "fgm": {"regularization": {"adversarial": {"name": "fgm", "epsilon": 0.1}}},
    "pgd": {"regularization": {"adversarial": {"name": "pgd", "epsilon": 0.1}}},
    "augmentation": {"regularization": {"augmentation": {"name": "swap"}}},
    "loss": {"task": {"kind": "classification", "loss": {"name": "focal"}}},
    "epochs": {"train": {"epochs": 2}},
    "max_steps": {"train": {"max_steps": 3}},
    "batch_size": {"train": {"batch_size": 4}},
}

SAME: dict[str, dict[str, Any]] = {
    "name": {"name": "other"},
    "log_every": {"train": {"log_every": 1}},
    "eval_batch_size": {"train": {"eval_batch_size": 64}},
    "gradient_clipping off": {"regularization": {"gradient_clipping": 0}},  # gradients here stay below the default 1
    "token_dropout off": {"regularization": {"token_dropout": 0}},
    "label_smoothing off": {"regularization": {"label_smoothing": 0}},
    "adversarial off": {"regularization": {"adversarial": {"name": "pgd", "epsilon": 0}}},
    "augmentation off": {"regularization": {"augmentation": {"name": "swap", "probability": 0}}},
    "layerwise_lr_decay off": {"optim": {"layerwise_lr_decay": 1}},
    "mode": {"train": {"early_stopping": {"mode": "maximize"}}},
    "keep_last": {"checkpoint": {"keep_last": 0}},
    "every": {"checkpoint": {"every": 2}},
    "co_best": {"checkpoint": {"co_best": 1}},
    "max_disk": {"checkpoint": {"max_disk": "1GB"}},
    "low_disk": {"checkpoint": {"low_disk": "stop", "min_free": 0}},
    "tracking": {"tracking": [{"kind": "tensorboard"}]},
}


def changed(change: dict[str, Any], model: Path) -> dict[str, Any]:
    """The base sections with a change, which may reach into a section."""
    merged = dict(BASE)
    for name, value in change.items():
        merged[name] = {**BASE.get(name, {}), **value} if isinstance(value, dict) else value
    merged["model"] = {"name": str(model), **merged["model"]}
    if merged["optim"]["name"] == "sgd_momentum":
        merged["optim"] = {"name": "sgd_momentum", "lr": merged["optim"]["lr"]}
    return merged


def logits(model: Path, folder: Path, change: dict[str, Any]) -> np.ndarray:
    fit(config(str(model), write_rows(folder), **changed(change, model)), out=folder / "run")
    return load(folder / "run").logits([Example("it was a great day"), Example("the film was sad")], precision="fp32")


@pytest.fixture(scope="module")
def reference(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return logits(tiny_bert, tmp_path_factory.mktemp("reference"), {})


@pytest.mark.parametrize("key", CHANGES)
def test_a_key_that_should_change_the_run_does(
    tiny_bert: Path, tmp_path: Path, reference: np.ndarray, key: str
) -> None:
    assert not np.array_equal(logits(tiny_bert, tmp_path, CHANGES[key]), reference)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("key", SAME)
def test_a_key_that_should_not_change_the_run_does_not(
    tiny_bert: Path, tmp_path: Path, reference: np.ndarray, key: str
) -> None:
    if key == "tracking":
        pytest.importorskip("tensorboard")
    assert np.array_equal(logits(tiny_bert, tmp_path, SAME[key]), reference)


def test_without_resume_points_an_interrupted_run_starts_over(tiny_bert: Path, tmp_path: Path) -> None:
    given = config(str(tiny_bert), write_rows(tmp_path), checkpoint={"keep_last": 0})
    with pytest.raises(Interrupted, match="the same command starts it over"):
        fit(given, [StopAt(9, "signal")], out=tmp_path / "run")
    assert not (tmp_path / "run" / "resume").exists()
    assert fit(given, out=tmp_path / "run").status == "completed"


def test_two_resume_points_are_kept_when_asked(tiny_bert: Path, tmp_path: Path) -> None:
    sections = {"train": {"epochs": 3, "batch_size": 8}, "checkpoint": {"keep_last": 2}}
    given = config(str(tiny_bert), write_rows(tmp_path), **sections)
    with pytest.raises(MemoryError):
        fit(given, [StopAt(20, "crash")], out=tmp_path / "run")
    assert len(list((tmp_path / "run" / "resume").iterdir())) == 2
