"""Studies whose trials are cross-validated: a trial is its folds, and only the winner gets a model."""

import csv
import itertools
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from scipy import stats

from fast_and_slow import slow_but
from tiny_runs import write_rows
from tunery import load, threshold
from tunery import search as run_search
from tunery.errors import Interrupted
from tunery.execution.in_process import InThisProcess
from tunery.execution.runner import Epoch, Job, Outcome, Prune, Runner, Stop
from tunery.hpo.pruners.pruning import Pruning
from tunery.report.text.study_sentences import headline
from tunery.schema.config.search import NoPruner
from tunery.schema.results.run import Progress
from tunery.schema.results.study import StudyResult
from tunery.store.folder import RunFolder
from tunery.store.inventory import storage_of


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_rows(tmp_path_factory.mktemp("rows"))


def document(model: Path, files: dict[str, str], *, data: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {
        "task": {"kind": "classification"},
        "data": {"train": files["train"], "folds": 3, "validation_size": 0.2, "id": "id", **data},
        "model": {"name": str(model), "max_length": 32, "precision": "fp32"},
        "optim": {"lr": [1e-3, 3e-3, 1e-5]},
        "train": {"epochs": 1, "batch_size": 8, "baselines": []},
        "search": {"n_trials": 3, "pruner": "none", "sampler": "grid", "rescore": None},
        **sections,
    }


class Interrupting(Runner):
    """Trains in this process; each of its calls is asked to leave after more steps than the one before."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self.jobs: list[Job] = []

    def run(self, job: Job, *, prune: Prune, stop: Stop) -> Outcome:
        self.jobs.append(job)
        asked = itertools.count(1)
        return InThisProcess().run(
            job, prune=prune, stop=lambda: stop() or ("a test" if next(asked) > self._steps else None)
        )

    def close(self) -> None:
        """Nothing."""


def trials_of(study: StudyResult) -> list[Any]:
    return [(trial.number, trial.status, trial.value, trial.params, trial.epochs) for trial in study.trials]


@pytest.mark.parametrize("final", slow_but(["refit", "ensemble", "best_fold"], "refit"))
def test_a_trial_is_its_folds_and_the_winner_gets_the_final_model(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str], final: str
) -> None:
    space = document(tiny_bert, files, data={"final": final, "test": files["test"]})
    out = tmp_path / "study"
    runner = Interrupting(10**6)
    study = run_search(space, out=out, engine=runner)
    assert study.counts["completed"] == 3 and study.best is not None
    assert [job.folder.parent.name for job in runner.jobs] == ["trials"] * 3 + ["final"]
    for trial in study.trials:
        folder = RunFolder(out / "trials" / str(trial.number))
        result = folder.result()
        assert result is not None and len(result.folds) == 3 and result.metrics.oof is not None
        assert trial.value == result.metrics.oof["f1_macro"] and trial.epochs == 1
        assert result.metrics.test is None
        with (folder.path / "oof.csv").open(newline="") as file:
            assert len([*csv.DictReader(file)]) == 60
    weights = {item.kind for item in storage_of(out).items if item.path.startswith("trials/")}
    assert weights == {"records"}
    assert "out of fold" in headline(study) and "on validation" not in headline(study)
    assert study.best.value == max(trial.value or 0.0 for trial in study.trials)
    assert study.best.value_after_choice is not None
    doubtful = RunFolder(out / "trials" / str(study.best.number)).doubtful_rows()
    assert doubtful is not None and doubtful.of == 60
    assert "Training rows to look at" in (out / "report.html").read_text()
    assert "after choice" in headline(study)
    assert set(study.best.test) >= {"f1_macro", "accuracy"}
    assert len(load(out).predict(["a great film", "a bad film"])) == 2
    if final == "refit":
        told = threshold(out)
        winner = RunFolder(out / "trials" / str(study.best.number)).result()
        assert winner is not None and winner.metrics.oof is not None
        assert told.metrics["f1_macro"] == winner.metrics.oof["f1_macro"]
    again = run_search(space, out=out, engine=runner)
    assert len(runner.jobs) == 4 and again.best == study.best


def test_a_study_that_is_stopped_in_any_fold_has_the_same_trials(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str]
) -> None:
    space = document(tiny_bert, files, data={})
    whole = run_search(space, out=tmp_path / "whole", engine=Interrupting(10**6))
    stops = 0
    for steps in itertools.count(3, 3):
        try:
            study = run_search(space, out=tmp_path / "stopped", engine=Interrupting(steps))
            break
        except Interrupted:
            stops += 1
    assert stops >= 2
    assert trials_of(study) == trials_of(whole)
    assert study.best is not None and whole.best is not None
    assert study.best.number == whole.best.number
    for number in range(3):
        here, there = (tmp_path / name / "trials" / str(number) / "oof.csv" for name in ("stopped", "whole"))
        assert here.read_bytes() == there.read_bytes()
    texts = ["a great film", "a bad film", "we love this day"]
    assert load(tmp_path / "stopped").predict(texts) == load(tmp_path / "whole").predict(texts)


class Bench:
    """A study of cross-validated trials that report given scores."""

    def __init__(self, *objectives: str) -> None:
        names = {name: "minimize" for name in objectives}
        self.study = optuna.create_study(directions=["maximize", *names.values()])
        self.pruning = Pruning(self.study, NoPruner(), objectives={"f1": "maximize", **names}, epochs=1)  # type: ignore[dict-item]

    def run(self, *values: float | None, p_value: float | None = 0.1) -> tuple[int, str] | None:
        """After which fold a trial was stopped, and why; None: it ran to its end."""
        trial = self.study.ask()
        for fold, value in enumerate(values, start=1):
            epoch = Epoch(fold, value, Progress(), is_fold=True)
            if reason := self.pruning.prune_after_fold(trial, epoch, p_value=p_value):
                self.study.tell(trial, state=TrialState.PRUNED)
                return fold, reason
        known = [value for value in values if value is not None]
        self.study.tell(trial, [sum(known) / len(known), *(1.0 for _ in self.study.directions[1:])])
        return None


BEST = (0.80, 0.84, 0.78, 0.82, 0.86, 0.81)


def test_a_trial_that_is_worse_in_the_same_folds_is_stopped_as_the_test_says() -> None:
    bench = Bench()
    assert bench.run(*BEST) is None
    worse = [value - 0.01 * (1 + k / 10) for k, value in enumerate(BEST)]
    stopped = bench.run(*worse)
    p_values = [
        stats.wilcoxon([b - w for b, w in zip(BEST[:n], worse[:n], strict=True)], alternative="greater").pvalue
        for n in range(2, 7)
    ]
    assert stopped is not None
    assert stopped[0] == 4 == next(n for n, p in zip(range(2, 7), p_values, strict=True) if p <= 0.1)
    assert "of trial 0 in the same 4 folds" in stopped[1] and "p = 0.062" in stopped[1]
    stricter = bench.run(*worse, p_value=0.02)
    assert stricter is not None and stricter[0] == 6
    assert bench.run(*worse, p_value=None) is None


def test_what_is_better_on_average_or_equal_or_unknown_goes_on() -> None:
    bench = Bench()
    assert bench.run(*BEST) is None
    assert bench.run(*BEST) is None
    assert bench.run(*(value + 0.02 for value in BEST)) is None
    assert bench.run(*(value - 0.001 if k < 4 else value + 0.2 for k, value in enumerate(BEST))) is not None
    assert bench.run(*(value + (0.1 if k == 0 else -0.01) for k, value in enumerate(BEST))) is None
    assert bench.run(None, None, 0.1, 0.1, None, None) is None


def test_with_several_objectives_none_is_stopped() -> None:
    bench = Bench("memory")
    assert bench.run(*BEST) is None
    assert bench.run(*(0.1 for _ in BEST)) is None
