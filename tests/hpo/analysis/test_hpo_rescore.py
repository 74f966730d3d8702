"""Training the best again: which, with what seeds, once; and who wins."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiny_runs import config, write_rows
from tunery.errors import Interrupted, RunError, StudyFailed
from tunery.execution.runner import Job, Outcome
from tunery.hpo.analysis.rescore import rescored
from tunery.schema import RunConfig, RunResult
from tunery.schema.config.search import Rescore
from tunery.schema.results.record import Objective
from tunery.schema.results.run import CheckpointRecord, Memory, Metrics, Seconds, Tokens
from tunery.schema.results.study import Rescored, TrialRecord
from tunery.store.folder import RunFolder
from tunery.store.objects.objects import Objects

Values = dict[int, list[float | None]]


def result_of(given: RunConfig, value: float | None, *, status: Any = "completed") -> RunResult:
    return RunResult(
        status=status,
        objective=Objective(name="f1_macro", value=value, direction="maximize"),
        metrics=Metrics(),
        parameters=None,
        seconds=Seconds(),
        memory=Memory(),
        disk_bytes=0,
        written_bytes=0,
        tokens=Tokens(),
        epochs=1.0,
        best_epoch=1,
        config=given.model_dump(mode="json"),
        environment=None,
        base=None,
        data=None,
    )


@pytest.fixture
def base(tiny_bert: Path, tmp_path: Path) -> RunConfig:
    return config(str(tiny_bert), write_rows(tmp_path), seed=2**32 - 2)


@pytest.fixture
def out(base: RunConfig, tmp_path: Path) -> Path:
    """A study of thirty trials with values 0.30, 0.29, ..."""
    for number in range(30):
        RunFolder(tmp_path / "study" / "trials" / str(number)).write_result(result_of(base, 0.3 - number / 100))
    return tmp_path / "study"


def trials(count: int = 30) -> list[TrialRecord]:
    return [
        TrialRecord(number=n, status="completed", value=round(0.3 - n / 100, 2), params={}, seconds=1, epochs=1)
        for n in range(count)
    ]


class Trainer:
    """Answers with given values, trial by trial, and leaves weights as a run would."""

    def __init__(self, values: Values, **outcomes: Outcome) -> None:
        self.values, self.outcomes, self.jobs = values, outcomes, list[Job]()

    def __call__(self, job: Job) -> Outcome:
        self.jobs.append(job)
        if (found := self.outcomes.get(f"t{job.folder.name}")) is not None:
            return found
        number, place = divmod(int(job.folder.name), 1000)
        folder = RunFolder(job.folder, objects=Objects(job.study / "objects"))
        job.folder.mkdir(parents=True)
        (job.study / "objects").mkdir(exist_ok=True)
        (job.study / "objects" / f"{int(job.folder.name):032x}.safetensors").write_bytes(b"weights")
        folder.write_kept([CheckpointRecord(kind="best", step=1, epoch=1, digest=job.folder.name, bytes=7)])
        folder.write_result(result_of(job.config, self.values[number][place - 1]))
        return Outcome("completed")


Again = Callable[..., tuple[Rescored, ...]]


@pytest.fixture
def again(out: Path) -> Again:
    default = Rescore()

    def call(
        run: Any, *, count: int = 30, rule: Rescore | None = default, direction: Any = "maximize", n_jobs: int = 1
    ):
        return rescored(trials(count), out=out, rule=rule, direction=direction, run=run, n_jobs=n_jobs)

    return call


def test_the_best_are_trained_with_the_seeds_after_their_own(again: Again, out: Path, base: RunConfig) -> None:
    run = Trainer({0: [0.1, 0.2], 1: [0.5, 0.41], 2: [None, 0.3]})
    found = again(run)
    assert [(one.number, one.seeds, one.values) for one in found] == [
        (1, (2**32 - 2, 2**32 - 1, 0), (0.29, 0.5, 0.41)),
        (2, (2**32 - 2, 0), (0.28, 0.3)),
        (0, (2**32 - 2, 2**32 - 1, 0), (0.3, 0.1, 0.2)),
    ]
    assert found[0].mean == pytest.approx(0.4)
    first = run.jobs[0]
    assert (first.title, first.study) == (f"trial 0 seed {2**32 - 1}", out / "rescored")
    nothing_after = base.search.model_copy(update={"ensemble": None, "rescore": None})
    assert first.config == base.model_copy(update={"seed": 2**32 - 1, "search": nothing_after})
    assert first.folder.name == "1"
    assert [job.folder.name for job in run.jobs] == ["1", "2", "1001", "1002", "2001", "2002"]


def test_as_many_run_at_once_as_trials_did_with_the_same_outcome(again: Again, out: Path) -> None:
    train, together = Trainer({0: [0.1, 0.2], 1: [0.5, 0.41], 2: [None, 0.3]}), threading.Barrier(2)

    def run(job: Job) -> Outcome:
        assert not job.alone
        together.wait(timeout=30)
        return train(job)

    assert [(one.number, one.values) for one in again(run, n_jobs=2)] == [
        (1, (0.29, 0.5, 0.41)),
        (2, (0.28, 0.3)),
        (0, (0.3, 0.1, 0.2)),
    ]


def test_once_one_cannot_go_on_no_other_begins(again: Again) -> None:
    begun = list[str]()

    def run(job: Job) -> Outcome:
        begun.append(job.folder.name)
        time.sleep(0.1 * len(begun))
        return Outcome("stopped", "no room")

    with pytest.raises(RunError, match="no room"):
        again(run, n_jobs=2)
    assert len(begun) < 6


def test_their_weights_go_and_their_records_stay(again: Again, out: Path) -> None:
    again(Trainer({number: [0.1, 0.2] for number in range(3)}))
    assert not (out / "rescored" / "objects").exists()
    assert all(not RunFolder(path).kept() for path in (out / "rescored" / "trials").iterdir())
    assert len(list((out / "rescored").rglob("result.json"))) == 6 and len(list((out / "trials").iterdir())) == 30


@pytest.mark.parametrize(
    ("count", "rule", "top"),
    [(30, Rescore(), 3), (30, Rescore(top=2, seeds=1), 2), (29, Rescore(), 2), (19, Rescore(), 0), (30, None, 0)],
)
def test_they_are_a_tenth_at_most(again: Again, count: int, rule: Rescore | None, top: int) -> None:
    run = Trainer({number: [0.1, 0.2] for number in range(30)})
    assert len(again(run, count=count, rule=rule)) == top
    assert len(run.jobs) == top * (rule.seeds if rule else 0)


def test_less_is_better_where_the_study_says_so(again: Again) -> None:
    run = Trainer({0: [0.1, 0.1], 1: [0.2, 0.2], 2: [0.0, 0.0]})
    assert [one.number for one in again(run, direction="minimize")] == [2, 0, 1]


def test_what_is_finished_is_not_repeated_and_a_stop_is_passed_on(again: Again, out: Path) -> None:
    values: Values = {0: [0.1, 0.2], 1: [0.5, 0.4], 2: [0.0, 0.0]}
    stopped = Trainer(values, t1002=Outcome("interrupted", "SIGTERM"))
    with pytest.raises(Interrupted, match="SIGTERM came at trial 1 seed 0; the same command goes on from there"):
        again(stopped)
    with pytest.raises(RunError, match="trial 1 seed 0 was stopped: no room; the same command goes on"):
        again(Trainer(values, t1002=Outcome("stopped", "no room")))
    rest = Trainer(values)
    found = again(rest)
    assert [job.folder.name for job in rest.jobs] == ["1002", "2001", "2002"]
    assert again(Trainer({})) == found == again(Trainer({})) and [one.number for one in found] == [1, 0, 2]


def test_a_failure_is_left_out_and_not_tried_again(again: Again, out: Path) -> None:
    values: Values = {0: [0.1, 0.2], 1: [0.5, 0.4], 2: [0.0, 0.0]}
    lost = Outcome("failed", "MemoryError: no room")
    found = again(Trainer(values, t1=lost, t1001=lost, t1002=Outcome("refused", "no such file")))
    assert [(one.number, len(one.values)) for one in found] == [(0, 2), (2, 3), (1, 1)]  # 1 has its own value alone
    written = RunFolder(out / "rescored" / "trials" / "1001").result()
    assert written is not None and (written.status, written.reason) == ("failed", "MemoryError: no room")
    assert again(Trainer({})) == found


def test_a_trial_without_its_record_is_named(again: Again, out: Path) -> None:
    (out / "trials" / "1" / "result.json").unlink()
    with pytest.raises(StudyFailed, match=r"trial 1 is to be trained again, but its result\.json is gone"):
        again(Trainer({0: [0.1, 0.2]}))
