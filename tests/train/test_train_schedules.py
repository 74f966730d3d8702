"""Schedules in a run: the rates that are logged, across an interruption, and a plateau that sees the objective."""

from pathlib import Path
from typing import Any

import pytest

from fast_and_slow import slow_but
from tiny_runs import StopAt, config, write_rows
from tunery.optim.curves import factor, warmup_steps
from tunery.optim.schedules import SCHEDULES
from tunery.schema.config.schedule import CosineRestart, Linear, ReducePlateau
from tunery.tracking.jsonl import read_metrics
from tunery.train.fit import fit

EPOCHS, STEPS = 4, 8
SLOW = 1e-9
"""A peak at which nothing is learned, so that the objective never improves on its first value."""


def run(tiny_bert: Path, folder: Path, schedule: Any, **sections: Any) -> Any:
    train = {"epochs": EPOCHS, "batch_size": 8, "log_every": 1, "early_stopping": None}
    optim = {"name": "adamw", "lr": SLOW, "head_lr": SLOW}
    files = write_rows(folder)
    return config(str(tiny_bert), files, schedule=schedule, **{"train": train, "optim": optim, **sections})


def rates(folder: Path) -> dict[int, float]:
    """The rate that every step was taken with, by its number."""
    lines = read_metrics(folder / "metrics.jsonl")
    return {line["step"]: line["value"] for line in lines if line["name"] == "train/lr"}


@pytest.mark.parametrize(
    "kind", slow_but(SCHEDULES, Linear, CosineRestart, ReducePlateau), ids=lambda kind: kind().name
)
def test_an_interrupted_run_logs_the_rates_of_an_uninterrupted_one(
    tiny_bert: Path, tmp_path: Path, kind: type[Any]
) -> None:
    spec = ReducePlateau(patience=1) if kind is ReducePlateau else kind()
    given = run(tiny_bert, tmp_path, spec.model_dump())
    fit(given, out=tmp_path / "whole")
    with pytest.raises(MemoryError):
        fit(given, [StopAt(2 * STEPS + 3, "crash")], out=tmp_path / "torn")
    fit(given, out=tmp_path / "torn")

    whole, torn = rates(tmp_path / "whole"), rates(tmp_path / "torn")
    assert whole == torn and list(whole) == list(range(1, EPOCHS * STEPS + 1))
    if kind is ReducePlateau:  # the bad epoch before the interruption and the one after it make it fall
        assert [whole[step] / SLOW for step in (3 * STEPS, 3 * STEPS + 1)] == pytest.approx([1.0, 0.5])
    else:
        total = EPOCHS * STEPS
        warmup = warmup_steps(spec, total=total)
        curve = [factor(spec, step - 1, warmup=warmup, total=total, steps_per_epoch=STEPS) for step in whole]
        assert [rate / SLOW for rate in whole.values()] == pytest.approx(curve, abs=1e-12)


def test_the_rate_falls_after_epochs_without_improvement(tiny_bert: Path, tmp_path: Path) -> None:
    spec = {"name": "reduce_plateau", "patience": 0, "factor": 0.5, "warmup": 0}
    fit(run(tiny_bert, tmp_path, spec), out=tmp_path / "run")
    found = {step: rate / SLOW for step, rate in rates(tmp_path / "run").items()}
    expected = {step: 0.5 ** max(0, (step - 1) // STEPS - 1) for step in found}  # the second epoch is the first bad one
    assert found == pytest.approx(expected)
