"""A running trial against its rivals, with one objective and with several."""

import math
from typing import Any

import optuna
import pytest
from optuna.trial import Trial, TrialState

from tunery.execution.runner import Epoch
from tunery.hpo.pruners.pruning import Pruning, most_epochs
from tunery.schema.config.search import Hyperband, MedianPruner, NoPruner, PercentilePruner, Pruner, SuccessiveHalving
from tunery.schema.results.direction import Direction
from tunery.schema.results.run import Memory, Parameters, Progress, Seconds
from tunery.schema.space.sampled import with_domains

MEDIAN = MedianPruner(startup_trials=2, warmup_epochs=0)
EPOCHS = 9


def progress(seconds: float = 10.0, memory: int = 1000, **given: Any) -> Progress:
    return Progress(seconds=Seconds(train=seconds), memory=Memory(host_peak_bytes=memory), **given)


class Bench:
    """A study whose trials report constant scores, at a constant cost for each epoch."""

    def __init__(self, pruner: Pruner, *objectives: str) -> None:
        ways: dict[str, Direction] = {name: "maximize" if name == "auprc" else "minimize" for name in objectives}
        directions: dict[str, Direction] = {"f1": "maximize", **ways}
        self.study = optuna.create_study(directions=[*directions.values()])
        self.pruning = Pruning(self.study, pruner, objectives=directions, epochs=EPOCHS)

    def epoch(self, trial: Trial, number: int, value: float | None, **cost: Any) -> str | None:
        cost = {"seconds": 10.0, **cost}
        further = {"auprc": cost.pop("auprc", None)}
        spent = progress(cost.pop("seconds") * number, **cost)
        return self.pruning.prune(trial, Epoch(number, value, spent, further), epochs=EPOCHS)

    def run(self, value: float, **cost: Any) -> str | None:
        """Why a trial was stopped, or None."""
        trial = self.study.ask()
        for number in range(1, EPOCHS + 1):
            if reason := self.epoch(trial, number, value, **cost):
                self.study.tell(trial, state=TrialState.PRUNED)
                return reason
        self.study.tell(trial, [value, *(1.0 for _ in self.study.directions[1:])])
        return None


def test_the_reason_names_the_pruner_the_epoch_and_the_value() -> None:
    bench = Bench(MEDIAN)
    assert [bench.run(0.8), bench.run(0.9)] == [None, None]
    assert bench.run(0.5) == "the median pruner stopped it after epoch 1, at f1 0.5000"


@pytest.mark.parametrize("pruner", [MEDIAN, PercentilePruner(startup_trials=2), SuccessiveHalving(), Hyperband()])
def test_every_pruner_works_with_several_objectives_where_optuna_raises(pruner: Pruner) -> None:
    bench = Bench(pruner, "memory")
    with pytest.raises(NotImplementedError):
        bench.study.ask().report(1.0, 1)
    reasons = [bench.run(1 - number / 100) for number in range(30)]
    words = pruner.name.replace("_", " ")
    assert reasons[0] is None
    told = f"the {words} pruner stopped it after epoch "
    assert {reason for reason in reasons if reason and not reason.startswith(told)} == set()
    assert "of trials that take no more memory" in next(reason for reason in reasons if reason)


def test_no_pruner_stops_nothing() -> None:
    bench = Bench(NoPruner())
    assert [bench.run(value) for value in (0.9, 0.9, 0.9, 0.1)] == [None] * 4


COSTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("memory", {"memory": 2000}, {"memory": 1000}),
    ("seconds", {"seconds": 20.0}, {"seconds": 10.0}),
    (
        "parameters",
        {"parameters": Parameters(trainable=100, total=100, percent=100)},
        {"parameters": Parameters(trainable=10, total=100, percent=10)},
    ),
    ("disk", {"written_bytes": 5000}, {"written_bytes": 500}),
]


@pytest.mark.parametrize(("objective", "dear", "cheap"), COSTS, ids=[cost for cost, *_ in COSTS])
def test_a_cheap_trial_is_not_stopped_for_being_worse_than_dear_ones(
    objective: str, dear: dict[str, Any], cheap: dict[str, Any]
) -> None:
    bench = Bench(MEDIAN, objective)
    assert [bench.run(0.8, **dear), bench.run(0.9, **dear), bench.run(0.9, **dear)] == [None] * 3
    assert bench.run(0.5, **cheap) is None
    assert "median" in (bench.run(0.5, **dear) or "")


def test_costs_are_those_of_the_whole_run() -> None:
    """A trial of few epochs is cheap, though each of its epochs takes as long."""
    bench = Bench(MEDIAN, "seconds")
    assert [bench.run(value) for value in (0.8, 0.9, 0.9)] == [None] * 3
    trial = bench.study.ask()
    assert bench.pruning.prune(trial, Epoch(1, 0.1, progress(10.0)), epochs=3) is None
    assert "median" in (bench.pruning.prune(trial, Epoch(1, 0.1, progress(10.0)), epochs=9) or "")


def test_a_trial_that_is_better_in_another_metric_is_not_stopped_for_the_first() -> None:
    bench = Bench(MEDIAN, "auprc")
    assert [bench.run(0.8, auprc=0.5), bench.run(0.9, auprc=0.4), bench.run(0.9, auprc=0.5)] == [None] * 3
    assert bench.run(0.5, auprc=0.6) is None
    stopped = "the median pruner stopped it after epoch 1, at f1 0.5000, of trials that are no worse in auprc"
    assert bench.run(0.5, auprc=0.4) == stopped
    assert bench.run(0.5, auprc=None) == stopped


def test_another_metric_is_compared_at_the_same_epoch() -> None:
    """Rivals that are better by now were not better then."""
    bench = Bench(MEDIAN, "auprc")
    for value in (0.8, 0.9, 0.9):
        trial = bench.study.ask()
        for number in range(1, EPOCHS + 1):
            assert bench.epoch(trial, number, value, auprc=number / 10) is None
        bench.study.tell(trial, [value, 0.9])
    early = bench.study.ask()
    assert bench.epoch(early, 1, 0.5, auprc=0.2) is None
    assert "no worse in auprc" in (bench.epoch(early, 2, 0.5, auprc=0.2) or "")


def test_memory_is_that_of_the_device_where_there_is_one() -> None:
    bench = Bench(MEDIAN, "memory")
    trial = bench.study.ask()
    spent = Progress(memory=Memory(host_peak_bytes=9000, device_peak_bytes=70))
    bench.pruning.prune(trial, Epoch(1, 0.5, spent), epochs=2)
    assert bench.study.trials[0].system_attrs == {"costs": [70]}


def test_an_epoch_is_stored_once_and_without_a_score_not_at_all() -> None:
    bench = Bench(MEDIAN)
    trial = bench.study.ask()
    for number, value in ((1, 0.5), (2, None), (3, math.nan), (4, 0.6), (1, 0.7), (4, 0.8)):
        assert bench.epoch(trial, number, value) is None
    assert bench.study.trials[0].intermediate_values == {1: 0.5, 4: 0.6}


def test_a_repeated_epoch_is_judged_by_the_value_that_is_stored() -> None:
    bench = Bench(MEDIAN)
    assert [bench.run(0.8), bench.run(0.9)] == [None, None]
    trial = bench.study.ask()
    assert bench.epoch(trial, 1, 0.9) is None
    assert bench.epoch(trial, 1, 0.1) is None


def test_a_trial_is_never_stopped_at_its_last_epoch() -> None:
    bench = Bench(MEDIAN)
    assert [bench.run(0.8), bench.run(0.9)] == [None, None]
    trial = bench.study.ask()
    assert bench.pruning.prune(trial, Epoch(1, 0.1, progress()), epochs=1) is None
    assert bench.study.trials[2].intermediate_values == {1: 0.1}
    assert bench.pruning.prune(bench.study.ask(), Epoch(1, 0.1, progress()), epochs=2) is not None


@pytest.mark.parametrize(
    ("train", "most"),
    [
        ({"epochs": {"low": 2, "high": 7}}, 7),
        ({"epochs": [3, 12, 5], "batch_size": [8, 16]}, 12),
        ({"epochs": 4}, 4),
        ({}, 12),
        ({"epochs": "auto", "batch_size": [8, 16, 32]}, 20),
        ({"max_steps": {"low": 10, "high": 50}}, 2),
    ],
)
def test_the_longest_trial_of_a_space(train: Any, most: int) -> None:
    document = {"task": {"kind": "classification"}, "data": {"train": "rows.csv"}, "train": train}
    assert most_epochs(with_domains(document), rows=400) == most
