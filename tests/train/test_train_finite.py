"""A loss that is not finite ends a run with step, rate and rows, and nothing of it is stored."""

import math
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from tiny_runs import config, write_rows
from tunery.data.batches import EpochBatches, length_tells_labels, plan_epoch
from tunery.data.examples import Example
from tunery.errors import NonFiniteLoss
from tunery.schema import RunConfig
from tunery.store.folder import RunFolder
from tunery.tracking.jsonl import read_metrics
from tunery.train.fit import fit
from tunery.train.loop.finite import LossWatch, StopWhereNotFinite, rows_of_step
from tunery.train.setup.prepare import prepare

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
STEPS_PER_EPOCH = 8


class Poison(TrainerCallback):
    """Makes a weight NaN before or after the update of one step, and may ask the process to stop."""

    def __init__(self, step: int, *, after: bool = False, stop: bool = False) -> None:
        self.step, self.after, self.stop = step, after, stop

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if not self.after and state.global_step + 1 == self.step:
            spoil(given["model"])

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if self.after and state.global_step + 1 == self.step:
            spoil(given["model"])
            if self.stop:
                os.kill(os.getpid(), signal.SIGTERM)


def spoil(model: torch.nn.Module) -> None:
    with torch.no_grad():
        next(weight for weight in model.parameters() if weight.requires_grad).fill_(math.nan)


def make(tiny_bert: Path, folder: Path, **sections: Any) -> RunConfig:
    return config(str(tiny_bert), {**write_rows(folder), "id": "id"}, **{"schedule": "constant", **sections})


def ids_at(given: RunConfig, step: int) -> tuple[str, ...]:
    prepared = prepare(given)
    lengths, targets = prepared.encoded["train"].lengths, prepared.truth["train"]["labels"]
    by_length = not length_tells_labels(lengths, targets, batch_size=8)
    epoch, place = divmod(step - 1, STEPS_PER_EPOCH)
    plan = plan_epoch(lengths, batch_size=8, seed=0, epoch=epoch, by_length=by_length)
    return tuple(f"train-{row}" for row in plan[place])


def test_a_rate_that_is_too_high_is_named_with_step_and_rows(tiny_bert: Path, tmp_path: Path) -> None:
    """Every step makes the weights a million times larger."""
    optim = {"name": "sgd_momentum", "lr": 1000, "weight_decay": 1000}
    given = make(tiny_bert, tmp_path, optim=optim, train={"epochs": 4, "batch_size": 8, "log_every": 1000})
    with pytest.raises(NonFiniteLoss) as caught:
        fit(given, out=tmp_path / "run")
    error = caught.value
    ids = ids_at(given, error.step)
    assert 1 < error.step <= STEPS_PER_EPOCH and (error.lr, error.rows) == (pytest.approx(1000), ids)
    where = f"at step {error.step} (lr 1.00e+03, rows {', '.join(ids)})"
    remedy = "lower optim.lr or regularization.gradient_clipping, or look at these rows"
    assert str(error) in [f"the loss must stay finite, but is {bad} {where}; {remedy}" for bad in ("nan", "inf")]
    assert read_metrics(tmp_path / "run" / "metrics.jsonl") == []  # nothing would be logged before the epoch ends


@pytest.mark.parametrize("step", [11, 16])
def test_nothing_of_a_broken_epoch_is_stored_and_the_run_can_go_on(tiny_bert: Path, tmp_path: Path, step: int) -> None:
    given, out = make(tiny_bert, tmp_path), tmp_path / "run"
    errors = []
    for _ in range(2):
        with pytest.raises(NonFiniteLoss, match=rf"is nan at step {step} \(lr 3.00e-03, rows train-\d+, ") as caught:
            fit(given, [Poison(step)], out=out)
        errors.append(str(caught.value))
        point, folder = RunFolder(out).resume.latest(), RunFolder(out)
        assert point is not None and point.step == STEPS_PER_EPOCH
        best = folder.best()
        assert folder.result() is None and best is not None and best.step == STEPS_PER_EPOCH
        assert all(math.isfinite(line["value"]) for line in read_metrics(folder.metrics))
    assert errors[0] == errors[1]

    assert fit(given, out=out).metrics == fit(given, out=tmp_path / "whole").metrics
    assert read_metrics(out / "metrics.jsonl") == read_metrics(tmp_path / "whole" / "metrics.jsonl")


def test_weights_that_are_not_finite_never_become_a_resume_point(tiny_bert: Path, tmp_path: Path) -> None:
    """The last loss was finite, the update was not, and a signal comes before anything is scored."""
    given, out = make(tiny_bert, tmp_path), tmp_path / "run"
    with pytest.raises(NonFiniteLoss, match=r"weights must be finite to be stored, but 1 of \d+ tensors are not at st"):
        fit(given, [Poison(11, after=True, stop=True)], out=out)
    point = RunFolder(out).resume.latest()
    assert point is not None and point.step == STEPS_PER_EPOCH


def test_an_epoch_that_cannot_be_scored_says_when(tiny_bert: Path, tmp_path: Path) -> None:
    given = make(tiny_bert, tmp_path)
    message = r"validation after step 8 \(lr 3.00e-03\): logits must be finite, but 48 of 48 are not; try a lower optim"
    with pytest.raises(NonFiniteLoss, match=message) as caught:
        fit(given, [Poison(STEPS_PER_EPOCH, after=True)], out=tmp_path / "run")
    assert (caught.value.step, caught.value.lr) == (STEPS_PER_EPOCH, 3e-3)
    assert RunFolder(tmp_path / "run").resume.latest() is None and RunFolder(tmp_path / "run").best() is None


def test_the_watch_remembers_the_first_bad_step() -> None:
    watch = LossWatch(CPU)
    for step, loss in enumerate([1.0, math.inf, math.nan, 2.0], start=1):
        watch.note(torch.tensor(loss), step=step, lr=0.1 * step)
    assert watch.bad_step() == (2, 0.2, math.inf)


def stopper(watch: LossWatch, rows: int = 3) -> StopWhereNotFinite:
    return StopWhereNotFinite(
        watch, log_every=10, rows_of=lambda step: [f"row-{step}-{place}" for place in range(rows)]
    )


def broken_at(step: int) -> LossWatch:
    watch = LossWatch(CPU)
    watch.note(torch.tensor(math.nan), step=step, lr=1e-3)
    return watch


@pytest.mark.parametrize(
    ("device", "event", "step", "looks"),
    [
        (CPU, "on_step_end", 7, True),
        (CUDA, "on_step_end", 7, False),  # the host does not wait for the device between two log points
        (CUDA, "on_step_end", 10, True),
        (CUDA, "on_epoch_end", 7, True),
        (CUDA, "on_save", 7, True),
    ],
)
def test_when_it_looks(device: torch.device, event: str, step: int, looks: bool) -> None:
    stop, args, state = stopper(broken_at(7)), SimpleNamespace(device=device), SimpleNamespace(global_step=step)
    if not looks:
        return getattr(stop, event)(args, state, None)
    with pytest.raises(NonFiniteLoss, match=r"nan at step 7 \(lr 1.00e-03, rows row-7-0, row-7-1, row-7-2\); lower"):
        getattr(stop, event)(args, state, None)


def test_many_rows_are_counted_in_the_message_and_all_in_the_error() -> None:
    stop = stopper(broken_at(1), rows=16)
    with pytest.raises(NonFiniteLoss, match=r"row-1-6, row-1-7 and 8 more\); ") as caught:
        stop.on_epoch_end(None, None, None)  # type: ignore[arg-type]
    assert len(caught.value.rows) == 16


def test_rows_without_an_id_are_numbered() -> None:
    lengths = np.arange(1, 6)
    batches = EpochBatches(lengths, batch_size=2, seed=3)
    examples = [Example("a", id="first"), *(Example("b") for _ in range(4))]
    plan = [rows for epoch in range(2) for rows in plan_epoch(lengths, batch_size=2, seed=3, epoch=epoch)]
    named = [rows_of_step(batches, examples, step) for step in range(1, 7)]
    assert named == [tuple("first" if row == 0 else f"#{row}" for row in rows) for rows in plan]
