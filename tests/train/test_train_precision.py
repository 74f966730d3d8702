"""Precision, memory settings and adversarial training through real runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from fast_and_slow import slow_but
from tiny_runs import StopAt, config, write_rows
from tunery import load
from tunery.data.examples import Example
from tunery.hardware import pick_device, use_precision
from tunery.schema.results.run import RunResult
from tunery.tracking.jsonl import read_metrics
from tunery.train.fit import fit
from tunery.train.loop.trainer import TuneryTrainer
from tunery.train.predict import scoring
from tunery.train.setup import assemble

NO_DROPOUT = {"head_dropout": 0, "encoder_dropout": 0, "attention_dropout": 0}
ROWS = [Example("it was a great day"), Example("the film was very sad and we hate it"), Example("good")]


def run(
    model: Path,
    folder: Path,
    precision: str = "fp32",
    train: dict[str, Any] | None = None,
    callbacks: Any = (),
    **sections: Any,
) -> RunResult:
    """SGD: Adam's first steps would magnify the smallest difference."""
    folder.mkdir(exist_ok=True)
    document = {
        "model": {"name": str(model), "max_length": 32, "precision": precision},
        "train": {"epochs": 2, "batch_size": 8, "log_every": 1, **(train or {})},
        "optim": {"name": "sgd_momentum", "lr": 3e-2},
        "schedule": "constant",
        **sections,
    }
    return fit(config(str(model), write_rows(folder), **document), callbacks, out=folder / "run")


def logits(folder: Path, precision: str = "fp32") -> np.ndarray:
    return load(folder / "run").logits(ROWS, precision=precision)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "run" / "best" / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def losses(folder: Path) -> list[float]:
    lines = read_metrics(folder / "run" / "metrics.jsonl")
    return [line["value"] for line in lines if line["name"] == "train/loss"]


@pytest.mark.parametrize(("precision", "tolerance"), slow_but([("fp32", 1e-5), ("bf16", 5e-3)], ("fp32", 1e-5)))
@pytest.mark.parametrize("adversarial", ["none", "fgm"])
def test_memory_settings_change_no_answer(
    tiny_bert: Path, tmp_path: Path, precision: str, tolerance: float, adversarial: str
) -> None:
    """Up to rounding: passes of other sizes add up in another order. Without dropout, which is drawn pass by pass."""
    rule = {**NO_DROPOUT, "adversarial": {"name": adversarial}}
    settings = [{"micro_batch_tokens": tokens} for tokens in (8192, 40)]
    answers = []
    for number, train in enumerate([*settings, {"gradient_checkpointing": True}]):
        run(tiny_bert, tmp_path / str(number), precision, train, regularization=rule)
        answers.append(logits(tmp_path / str(number)))
    moved = np.abs(answers[0] - untrained(tiny_bert, tmp_path / "start")).max()
    assert max(np.abs(answer - answers[0]).max() for answer in answers[1:]) < tolerance < moved


def untrained(tiny_bert: Path, folder: Path) -> np.ndarray:
    run(tiny_bert, folder, optim={"name": "sgd", "lr": 1e-12, "head_lr": 1e-12})
    return logits(folder)


def test_checkpointing_repeats_dropout_bit_for_bit(tiny_bert: Path, tmp_path: Path) -> None:
    rule = {"head_dropout": 0.2, "encoder_dropout": 0.2, "attention_dropout": 0.2, "adversarial": {"name": "pgd"}}
    for name in ("kept", "computed again"):
        run(tiny_bert, tmp_path / name, train={"gradient_checkpointing": name != "kept"}, regularization=rule)
    assert same(weights(tmp_path / "kept"), weights(tmp_path / "computed again"))


@pytest.mark.parametrize("name", ["fgm", "pgd"])
def test_an_adversary_shows_and_without_room_to_move_it_is_off(tiny_bert: Path, tmp_path: Path, name: str) -> None:
    for folder, rule in {
        "without": {},
        "off": {"adversarial": {"name": name, "epsilon": 0}},
        "on": {"adversarial": {"name": name}},
        "far": {"adversarial": {"name": name, "epsilon": 0.5}},
    }.items():
        run(tiny_bert, tmp_path / folder, regularization={**NO_DROPOUT, **rule})
    plain = weights(tmp_path / "without")
    assert same(plain, weights(tmp_path / "off")) and losses(tmp_path / "without") == losses(tmp_path / "off")
    assert not same(plain, weights(tmp_path / "on"))
    assert losses(tmp_path / "on")[0] == losses(tmp_path / "without")[0]  # the clean loss is what is recorded
    assert losses(tmp_path / "far")[1:] != losses(tmp_path / "on")[1:]


@pytest.mark.parametrize(("key", "values"), [("steps", (1, 3)), ("step_size", (0.3, 0.9))])
def test_the_keys_of_pgd_show(tiny_bert: Path, tmp_path: Path, key: str, values: tuple[float, float]) -> None:
    for value in values:
        rule = {**NO_DROPOUT, "adversarial": {"name": "pgd", "epsilon": 0.3, key: value}}
        run(tiny_bert, tmp_path / str(value), regularization=rule)
    assert not same(*(weights(tmp_path / str(value)) for value in values))


def test_an_interrupted_run_with_an_adversary_ends_bit_for_bit_the_same(tiny_bert: Path, tmp_path: Path) -> None:
    rule = {"adversarial": {"name": "pgd", "epsilon": 0.1}}
    run(tiny_bert, tmp_path / "whole", regularization=rule)
    with pytest.raises(MemoryError):
        run(tiny_bert, tmp_path / "torn", callbacks=[StopAt(11, "crash")], regularization=rule)
    run(tiny_bert, tmp_path / "torn", regularization=rule)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "torn"))


def test_training_and_every_scoring_set_how_products_are_computed(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def note(precision: str, device: torch.device) -> None:
        asked.append(precision)

    for module in (assemble, scoring):
        monkeypatch.setattr(module, "use_precision", note)
    run(tiny_bert, tmp_path, "bf16", {"epochs": 1})
    # training, validation, the live model compared with the stored one in another process, test
    assert asked == ["bf16", "bf16", "fp32", "bf16"]


def pretend_loss_scaling(monkeypatch: pytest.MonkeyPatch, **scaler: Any) -> list[Any]:
    """What the Trainer does with `fp16=True` on CUDA, on this CPU: the same scaler, without autocast."""
    made: list[Any] = []
    create = TuneryTrainer.create_accelerator_and_postprocess

    def with_scaler(self: TuneryTrainer) -> None:
        create(self)
        made.append(torch.amp.GradScaler("cpu", **scaler))
        self.accelerator.scaler = made[-1]
        # the original does the same, but only where the device is one with fp16
        self.accelerator.unscale_gradients = lambda: made[-1].unscale_(self.optimizer.optimizer)

    monkeypatch.setattr(TuneryTrainer, "create_accelerator_and_postprocess", with_scaler)
    return made


SCALED: dict[str, Any] = {
    "optim": {"name": "adamw", "lr": 1e-3},
    "schedule": {"name": "linear", "warmup": 0.0},
    "regularization": {**NO_DROPOUT, "gradient_clipping": 0.2, "adversarial": {"name": "pgd"}},
    "train": {"micro_batch_tokens": 60},
}


class Overflow(TrainerCallback):
    """Makes the gradient of some steps infinite."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step + 1 in self.steps:
            weight = next(given["model"].parameters())
            weight.grad = torch.full_like(weight, torch.inf)


def test_a_step_that_overflows_is_left_out_and_the_schedule_waits(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pretend_loss_scaling(monkeypatch, init_scale=2.0**10)
    run(tiny_bert, tmp_path, callbacks=[Overflow(1, 5)], **SCALED)
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    taken = [step - 1 - (step > 1) - (step > 5) for step in range(1, 17)]
    rates = [line["value"] for line in lines if line["name"] == "train/lr"]
    assert rates == pytest.approx([1e-3 * (1 - steps / 16) for steps in taken])
    assert made[0].get_scale() == 2.0**8


def test_the_loss_scale_is_in_the_resume_point(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pretend_loss_scaling(monkeypatch, init_scale=2.0**10, growth_interval=3)
    run(tiny_bert, tmp_path / "whole", **SCALED)
    with pytest.raises(MemoryError):
        run(tiny_bert, tmp_path / "torn", callbacks=[StopAt(11, "crash")], **SCALED)
    run(tiny_bert, tmp_path / "torn", **SCALED)
    assert made[0].state_dict() == made[2].state_dict() and made[0].get_scale() == 2.0**15
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "torn"))


def test_the_scale_of_the_loss_changes_no_weight(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All backward passes of a step are scaled alike, and unscaled once, before clipping."""
    run(tiny_bert, tmp_path / "plain", **SCALED)
    made = pretend_loss_scaling(monkeypatch, init_scale=2.0**10)
    run(tiny_bert, tmp_path / "scaled", **SCALED)
    assert made[0].get_scale() == 2.0**10
    assert np.abs(logits(tmp_path / "plain") - logits(tmp_path / "scaled")).max() < 1e-3


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("tf32", 0.05), ("bf16", 0.2), ("fp16", 0.1)])
def test_on_a_gpu_every_precision_trains_to_the_same_answers(
    tiny_bert: Path, tmp_path: Path, precision: str, tolerance: float
) -> None:
    rule = {**NO_DROPOUT, "adversarial": {"name": "pgd"}}
    try:
        for name in ("fp32", precision):
            result = run(tiny_bert, tmp_path / name, name, regularization=rule)
            assert result.environment is not None and result.environment.precision == name
    finally:
        use_precision("fp32", pick_device())
    difference = np.abs(logits(tmp_path / "fp32") - logits(tmp_path / precision)).max()
    assert 0 < difference < tolerance


@pytest.mark.gpu
def test_on_a_gpu_a_torn_fp16_run_goes_on_with_its_loss_scale(tiny_bert: Path, tmp_path: Path) -> None:
    rule = {**NO_DROPOUT, "gradient_clipping": 1.0}
    with pytest.raises(MemoryError):
        run(tiny_bert, tmp_path / "torn", "fp16", callbacks=[StopAt(11, "crash")], regularization=rule)
    assert "_growth_tracker" in (tmp_path / "torn" / "run" / "resume" / "step-8.json").read_text()
    run(tiny_bert, tmp_path / "torn", "fp16", regularization=rule)
    run(tiny_bert, tmp_path / "whole", "fp16", regularization=rule)
    assert np.abs(logits(tmp_path / "whole") - logits(tmp_path / "torn")).max() < 1e-2
