"""Losses in real runs: each trains, does something else than the default, and goes on where it was interrupted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import TrainerCallback

from fast_and_slow import slow_but
from tiny_runs import StopAt, config, write_rows
from tunery import load
from tunery.data.examples import Example
from tunery.errors import ConfigError
from tunery.optim.losses import LOSSES
from tunery.schema import RunConfig
from tunery.schema.config.task import ClassificationTask, MultilabelTask
from tunery.tracking.jsonl import read_metrics
from tunery.train.fit import fit

ADAPTIVE: dict[str, Any] = {"name": "adaptive_focal", "gamma": 3}
HYBRID: dict[str, Any] = {"name": "hybrid", "bce": "weighted_bce", "focal": "adaptive_focal"}
OTHERS: dict[str, list[dict[str, Any]]] = {
    "classification": [
        {"name": "ce", "class_weights": "balanced"},
        *({"name": name} for name in ("bce", "weighted_bce", "focal")),
        ADAPTIVE,
        HYBRID,
    ],
    "multilabel": [*({"name": name} for name in ("weighted_bce", "focal")), ADAPTIVE, HYBRID],
}
CASES = [(kind, loss) for kind, losses in OTHERS.items() for loss in losses]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Rows by task; every second row that is not good is left out of the training rows of the classification."""
    made = {}
    for kind in OTHERS:
        folder = tmp_path_factory.mktemp(kind)
        made[kind] = write_rows(folder, multilabel=kind == "multilabel")
    train = Path(made["classification"]["train"])
    lines = train.read_text().splitlines(keepends=True)
    train.write_text("".join(line for n, line in enumerate(lines) if n % 4 != 1))
    return made


def make(
    model: Path, files: dict[str, dict[str, str]], kind: str, loss: dict[str, Any] | None, **sections: Any
) -> RunConfig:
    task = {"kind": kind, **({"loss": loss} if loss else {})}
    train = {"epochs": 2, "batch_size": 8, "log_every": 1, **sections.pop("train", {})}
    chosen = {"peft": {"method": "lora", "r": 4}, "task": task, "train": train, **sections}
    return config(str(model), files[kind], kind=kind, **chosen)


def best_logits(run: Path) -> np.ndarray:
    return load(run).logits([Example("it was a great day"), Example("the film was very sad")])


@pytest.fixture(scope="module")
def plain(
    tiny_bert: Path, files: dict[str, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, np.ndarray]:
    """Logits of runs with the default loss, by task."""
    found = {}
    for kind in OTHERS:
        out = tmp_path_factory.mktemp("plain") / "run"
        fit(make(tiny_bert, files, kind, None), out=out)
        found[kind] = best_logits(out)
    return found


def test_every_loss_is_tried() -> None:
    names = {spec.model_fields["name"].default for spec in LOSSES}
    assert {loss["name"] for _, loss in CASES} == names
    assert ClassificationTask().loss.name == "ce" and MultilabelTask().loss.name == "bce"


@pytest.mark.parametrize(("kind", "loss"), CASES, ids=str)
def test_every_loss_trains_and_is_not_the_default(
    tiny_bert: Path, files: Any, plain: dict[str, np.ndarray], tmp_path: Path, kind: str, loss: dict[str, Any]
) -> None:
    result = fit(make(tiny_bert, files, kind, loss), out=tmp_path / "run")
    assert result.status == "completed" and result.config["task"]["loss"]["name"] == loss["name"]
    assert not np.allclose(best_logits(tmp_path / "run"), plain[kind], atol=1e-5)


@pytest.mark.parametrize("kind", OTHERS)
def test_label_smoothing_reaches_the_loss(
    tiny_bert: Path, files: Any, plain: dict[str, np.ndarray], tmp_path: Path, kind: str
) -> None:
    given = make(tiny_bert, files, kind, None, regularization={"label_smoothing": 0.2})
    fit(given, out=tmp_path / "run")
    assert not np.allclose(best_logits(tmp_path / "run"), plain[kind], atol=1e-5)


class Watch(TrainerCallback):
    """Notes theta of an adaptive loss, and its gradient, before every optimizer step; nothing else is 0-dimensional."""

    def __init__(self) -> None:
        self.thetas: list[float] = []
        self.gradients: list[float] = []

    def on_pre_optimizer_step(self, *_: Any, optimizer: Any, **__: Any) -> None:
        (theta,) = (part for group in optimizer.param_groups for part in group["params"] if part.ndim == 0)
        self.thetas.append(theta.item())
        self.gradients.append(theta.grad.item())


@pytest.mark.parametrize("how", slow_but(["signal", "crash"], "crash"))
@pytest.mark.parametrize("loss", [ADAPTIVE, HYBRID], ids=["adaptive_focal", "hybrid"])
def test_a_learned_gamma_survives_interruption_bit_for_bit(
    tiny_bert: Path, files: Any, tmp_path: Path, loss: dict[str, Any], how: str
) -> None:
    train = {"epochs": 3, "batch_size": 8, "log_every": 4}
    given = make(tiny_bert, files, "classification", loss, train=train, optim={"name": "adamw", "lr": 1e-2})
    whole, torn, again = Watch(), Watch(), Watch()
    fit(given, [whole], out=tmp_path / "whole")
    with pytest.raises(BaseException, match="SIGTERM|crash"):
        fit(given, [torn, StopAt(9, how)], out=tmp_path / "torn")
    fit(given, [again], out=tmp_path / "torn")

    assert len(set(whole.thetas)) > 10
    assert again.thetas == whole.thetas[-len(again.thetas) :]
    assert again.gradients == whole.gradients[-len(again.gradients) :]
    assert np.array_equal(best_logits(tmp_path / "whole"), best_logits(tmp_path / "torn"))
    lines = read_metrics(tmp_path / "whole" / "metrics.jsonl")
    assert lines == read_metrics(tmp_path / "torn" / "metrics.jsonl")
    gammas = [line["value"] for line in lines if line["name"] == "train/gamma"]
    assert len(set(gammas)) > 1 and all(1 < gamma < 5 for gamma in gammas)


def test_gradients_of_a_learned_gamma_are_those_of_one_step(tiny_bert: Path, files: Any, tmp_path: Path) -> None:
    """The library's own loop clears the gradients of the model only. Where nothing moves, they stay what they are."""
    train = {"epochs": 4, "batch_size": 64, "early_stopping": None}
    optim = {"name": "sgd", "lr": 1e-12, "head_lr": 1e-12, "weight_decay": 0}
    still = {"head_dropout": 0, "encoder_dropout": 0, "attention_dropout": 0}
    given = make(
        tiny_bert, files, "multilabel", ADAPTIVE, train=train, optim=optim, regularization=still, schedule="constant"
    )
    watch = Watch()
    fit(given, [watch], out=tmp_path / "run")
    assert watch.gradients == pytest.approx([watch.gradients[0]] * 4, rel=1e-3) and watch.gradients[0] != 0


def test_a_hybrid_gamma_outside_the_bounds_of_the_adaptive_loss_is_refused(tiny_bert: Path, files: Any) -> None:
    message = r"task.loss.gamma: `1 <= gamma <= 5` must hold where it is trained, but got 7"
    with pytest.raises(ConfigError, match=message):
        make(tiny_bert, files, "classification", {**HYBRID, "gamma": 7})
    assert make(tiny_bert, files, "classification", {"name": "hybrid", "gamma": 7}).task.loss.name == "hybrid"
