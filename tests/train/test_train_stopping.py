"""Early stopping: every key of it, metrics that fall, and what is kept of the run that was stopped."""

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import TrainerCallback

from tiny_runs import StopAt, config, write_rows
from tunery.errors import FolderError, Interrupted
from tunery.schema.results.direction import Direction
from tunery.schema.results.run import CheckpointRecord, RunResult
from tunery.terminal import Terminal
from tunery.tracking.jsonl import read_metrics
from tunery.train.fit import fit
from tunery.train.loop.callbacks import FollowMetric, epochs_to_keep, epochs_without_improvement
from tunery.train.loop.console import ConsoleProgress
from tunery.train.predict.inference import evaluate

values = st.lists(st.one_of(st.none(), st.integers(-20, 20).map(lambda n: n / 4)), max_size=12)


@given(history=values, direction=st.sampled_from(["maximize", "minimize"]), min_delta=st.sampled_from([0.0, 0.5, 2.0]))
def test_waiting_is_counted_from_the_last_real_improvement(
    history: list[float | None], direction: Direction, min_delta: float
) -> None:
    waited = epochs_without_improvement(history, direction=direction, min_delta=min_delta)
    sign = 1 if direction == "maximize" else -1
    bests: list[tuple[int, float]] = []
    for epoch, value in enumerate(history):
        if value is not None and (not bests or sign * (value - bests[-1][1]) > min_delta):
            bests.append((epoch, value))
    assert waited == (len(history) - 1 - bests[-1][0] if bests else len(history))
    turned = [None if value is None else -value for value in history]
    other: Direction = "minimize" if direction == "maximize" else "maximize"
    assert waited == epochs_without_improvement(turned, direction=other, min_delta=min_delta)


scores = st.lists(
    st.tuples(st.sampled_from([None, 0.25, 0.5, 0.75]), st.sampled_from([0.1, 0.2, 0.3])), min_size=1, max_size=9
)


@given(scores=scores, direction=st.sampled_from(["maximize", "minimize"]), most=st.integers(1, 3))
def test_of_epochs_with_the_best_value_the_lowest_loss_is_restored(
    scores: list[tuple[float | None, float]], direction: Direction, most: int
) -> None:
    kept: tuple[CheckpointRecord, ...] = ()
    for step, (value, loss) in enumerate(scores):
        new = CheckpointRecord(
            kind="best", step=step, epoch=step, digest="", bytes=0, value=value, metrics={"loss": loss}
        )
        kept = epochs_to_keep(kept, new, direction=direction, most=most)
    defined = [value for value, _ in scores if value is not None]
    best = (max if direction == "maximize" else min)(defined, default=None)
    equal = sorted((loss, step) for step, (value, loss) in enumerate(scores) if value == best)
    expected = [step for _, step in equal][:most] if defined else [0]
    assert [record.step for record in kept] == expected
    assert [record.kind for record in kept] == ["best", *["co_best"] * (len(kept) - 1)]


def run(tiny_bert: Path, folder: Path, stopping: dict[str, Any] | None, **sections: Any) -> RunResult:
    train = {"epochs": 12, "batch_size": 8, "early_stopping": stopping}
    rest = {"optim": {"name": "adamw", "lr": 1e-2}, "schedule": "constant", **sections}
    return fit(config(str(tiny_bert), write_rows(folder), train=train, **rest), out=folder / "run")


def history_of(folder: Path, metric: str) -> list[float]:
    lines = read_metrics(folder / "run" / "metrics.jsonl")
    return [line["value"] for line in lines if line["name"] == f"validation/{metric}"]


def test_a_falling_metric_is_watched_and_the_objective_still_chooses(tiny_bert: Path, tmp_path: Path) -> None:
    stopping = {"patience": 2, "min_delta": 0.01, "metric": "loss", "mode": "minimize"}
    result = run(tiny_bert, tmp_path, stopping)
    loss, f1 = history_of(tmp_path, "loss"), history_of(tmp_path, "f1_macro")
    waits = [epochs_without_improvement(loss[:n], direction="minimize", min_delta=0.01) for n in range(1, 13)]
    assert result.epochs == len(loss) == waits.index(2) + 1 < 12
    assert loss[0] > min(loss)  # it fell first: watched the other way round, the run would have ended after 3 epochs
    assert len(loss) > 3
    equal = [epoch for epoch, value in enumerate(f1) if value == max(f1)]
    assert result.best_epoch == min(equal, key=lambda epoch: loss[epoch]) + 1 and result.objective.value == max(f1)


def test_the_epoch_with_the_lowest_loss_is_exported_where_loss_is_the_objective(
    tiny_bert: Path, tmp_path: Path
) -> None:
    result = run(tiny_bert, tmp_path, {"patience": 1}, search={"objective": "loss"})
    loss = history_of(tmp_path, "loss")
    assert result.objective.direction == "minimize" and result.objective.value == min(loss) < loss[-1]
    assert result.best_epoch == loss.index(min(loss)) + 1 == len(loss) - 1
    assert evaluate(tmp_path / "run", "validation")["loss"] == pytest.approx(min(loss), abs=1e-6)


@pytest.mark.parametrize(
    ("stopping", "epochs"),
    [
        ({"patience": 1, "min_delta": 1.0}, 2),  # nothing improves by so much: the first epoch, then the patience
        ({"patience": 4, "min_delta": 1.0}, 5),
        (None, 12),
    ],
    ids=str,
)
def test_patience_and_least_change_say_when(
    tiny_bert: Path, tmp_path: Path, stopping: dict[str, Any] | None, epochs: int
) -> None:
    assert run(tiny_bert, tmp_path, stopping).epochs == epochs


def test_a_run_of_auto_epochs_says_when_it_will_stop_and_that_it_did(tiny_bert: Path, tmp_path: Path) -> None:
    said, files = list[str](), write_rows(tmp_path)
    train = {"epochs": "auto", "batch_size": 8, "early_stopping": {"min_delta": 1.0}}
    stopped = config(str(tiny_bert), files, train=train)
    planned, patience = stopped.train.epochs_for(60), stopped.train.patience_for(60)
    assert patience is not None and patience + 1 < planned == 20
    result = fit(stopped, out=tmp_path / "stopped", say=said.append)
    assert result.epochs == patience + 1
    rule = f"{patience} epochs without a better f1_macro"
    assert said == [f"at most 20 epochs; stops after {rule}", f"stopped after epoch {patience + 1}: {rule}"]
    whole = config(str(tiny_bert), files, train={"epochs": 2, "batch_size": 8})
    fit(whole, out=tmp_path / "whole", say=said.append)
    assert len(said) == 2, "what cannot stop early says nothing of it"


def test_that_a_run_stopped_is_said_after_what_is_said_of_its_last_epoch(tiny_bert: Path, tmp_path: Path) -> None:
    stderr = io.StringIO()
    progress = ConsoleProgress(Terminal(file=stderr), title="run", objective="f1_macro")
    train = {"epochs": 5, "batch_size": 8, "early_stopping": {"patience": 1, "min_delta": 1.0}}
    run = config(str(tiny_bert), write_rows(tmp_path), train=train)
    fit(run, [progress], out=tmp_path / "run", say=progress.say)
    *_, epoch, stopped = stderr.getvalue().splitlines()
    assert epoch.startswith("run: epoch 2/5") and stopped.startswith("run: stopped after epoch 2")


def test_a_run_that_was_begun_with_a_patience_of_20_goes_on_with_that_and_with_nothing_else(
    tiny_bert: Path, tmp_path: Path
) -> None:
    files, out = write_rows(tmp_path), tmp_path / "run"

    def resumed(patience: int | None, *callbacks: TrainerCallback) -> RunResult:
        stopping = {"patience": patience, "min_delta": 1.0}
        train = {"epochs": "auto", "batch_size": 8, "early_stopping": stopping}
        return fit(config(str(tiny_bert), files, train=train), callbacks, out=out)

    with pytest.raises(Interrupted):
        resumed(20, StopAt(9, "signal"))
    with pytest.raises(FolderError, match=r"train\.early_stopping\.patience: 20 there, None now"):
        resumed(None)
    assert resumed(20).epochs == 20


def test_a_schedule_is_told_the_objective() -> None:
    seen = list[float | None]()
    follow = FollowMetric("f1_macro", seen.append)
    for value in (0.5, None):
        follow.on_evaluate(None, None, None, metrics={"f1_macro": value, "loss": 9.0})  # type: ignore[arg-type]
    assert seen == [0.5, None]
