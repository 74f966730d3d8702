"""The trial loop over runs that train nothing: who gets which trial, and what becomes of whatever happens to it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, final

import optuna
import pytest
from optuna.trial import TrialState

from fake_cells import record
from tiny_runs import write_rows
from tunery.errors import DiskFull, Interrupted, RequestError, StudyFailed
from tunery.execution.engines import make_runner
from tunery.execution.observer import Silent
from tunery.execution.runner import Epoch, Job, Outcome, Prune, Runner, Stop
from tunery.hpo import trial_loop
from tunery.hpo.plan import Plan
from tunery.hpo.storage.database import close_study, open_study, sqlite_url
from tunery.hpo.storage.trial_queue import TrialQueue
from tunery.hpo.trial_loop import NOTES, TrialLoop
from tunery.schema.reading.document import validate
from tunery.schema.results.run import Memory, Parameters, Progress, Seconds
from tunery.schema.space.sampled import sample, with_domains
from tunery.store.folder import RunFolder

Act = Callable[[Job], Outcome | None]


@final
class Fake(Runner):
    """Scores by the learning rate, or does what a test says of a trial."""

    def __init__(self, acts: dict[int, Act] | None = None) -> None:
        self.acts = acts or {}
        self.jobs: list[Job] = []
        self.closed = False

    def run(self, job: Job, *, prune: Prune, stop: Stop) -> Outcome:
        self.jobs.append(job)
        act = self.acts.get(int(job.folder.name))
        if act is not None and (outcome := act(job)) is not None:
            return outcome
        value = min(0.9, job.config.lr * 100)
        progress = Progress(
            parameters=Parameters(trainable=10, total=100, percent=10.0),
            seconds=Seconds(train=1.0, total=1.0),
            memory=Memory(host_peak_bytes=1000),
        )
        if (reason := prune(Epoch(1, value, progress))) is not None:
            return Outcome("pruned", reason)
        job.folder.mkdir(parents=True, exist_ok=True)
        RunFolder(job.folder).write_result(record(job.config, value))
        return Outcome("completed")

    def close(self) -> None:
        self.closed = True


@final
class Bench:
    """A study in a folder, and conductors for it."""

    def __init__(self, folder: Path, model: Path, **search: Any) -> None:
        settings = {"pruner": "none", "sampler": "random", **search}
        self.document = with_domains(
            {
                "task": {"kind": "classification"},
                "data": write_rows(folder),
                "model": {"name": str(model), "max_length": 32, "precision": "fp32"},
                "peft": {"method": "lora", "r": [2, 4]},
                "optim": {"lr": {"low": 1e-4, "high": 9e-3, "log": True}, **search.pop("optim", {})},
                "search": {key: value for key, value in settings.items() if key != "optim"},
            }
        )
        self.base = validate(sample(self.document, lambda _, domain: getattr(domain, "low", None) or domain.values[0]))
        self.out = folder / "study"
        self.out.mkdir()
        self.study = open_study(sqlite_url(self.out), name="s", directions=[*self.base.directions])
        self.leave: str | None = None

    def trial_loop(self, runner: Runner) -> TrialLoop:
        plan = Plan(self.document, self.base, self.out, self.study, rows=60)
        return TrialLoop(plan, runner, shared=False, leave=lambda: self.leave, observer=Silent())

    def states(self) -> list[str]:
        return [trial.state.name for trial in self.study.get_trials(deepcopy=False)]


@pytest.fixture
def bench(tiny_bert: Path, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**search: Any) -> Bench:
        made.append(Bench(tmp_path, tiny_bert, **search))
        return made[-1]

    yield make
    for one in made:
        close_study(one.study)


def test_two_at_once_do_every_trial_once_and_no_configuration_twice(bench: Callable[..., Bench]) -> None:
    at_work, most = set[str](), set[int]()
    both = threading.Barrier(2, timeout=20)

    def meet(job: Job) -> None:
        at_work.add(job.title)
        both.wait()
        most.add(len(at_work))
        both.wait()
        at_work.discard(job.title)

    here = bench(n_jobs=2)
    runner = Fake({number: meet for number in range(8)})
    assert here.trial_loop(runner).run(total=8) == 8
    assert sorted(job.title for job in runner.jobs) == [f"trial {number}" for number in range(8)] and most == {2}
    assert len({job.config.lr for job in runner.jobs}) == 8 and not any(job.alone for job in runner.jobs)
    assert here.states() == ["COMPLETE"] * 8


def test_trials_at_once_have_a_device_each(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_loop, "visible_devices", lambda: ("4", "GPU-7", "9"))
    at_work, both, pairs = list[str | None](), threading.Barrier(2, timeout=20), list[set[str | None]]()

    def meet(job: Job) -> None:
        at_work.append(job.device)
        both.wait()
        pairs.append(set(at_work))
        both.wait()
        at_work.remove(job.device)

    here = bench(devices=[0, 2])
    runner = Fake({number: meet for number in range(4)})
    assert here.trial_loop(runner).run(total=4) == 4
    assert pairs == [{"4", "9"}] * 4 and not any(job.alone for job in runner.jobs)


def test_where_memory_runs_out_the_trial_goes_on_with_smaller_passes_and_says_so(bench: Callable[..., Bench]) -> None:
    here = bench()

    def small_only(job: Job) -> Outcome | None:
        tokens = job.config.train.micro_batch_tokens
        fits = tokens != "auto" and tokens < 100
        return None if fits else Outcome("out_of_memory", "no room")

    runner = Fake({0: small_only})
    here.trial_loop(runner).run(total=1)
    tokens = [job.config.train.micro_batch_tokens for job in runner.jobs]
    numbers = tokens[1:]
    assert tokens[0] == "auto" and numbers[0] <= 8192 // 2 and numbers[-1] < 100
    assert numbers == sorted(numbers, reverse=True)
    (trial,) = here.study.get_trials()
    (note,) = trial.user_attrs[NOTES]
    assert note == f"memory ran out (train.micro_batch_tokens: auto); went on with {tokens[-1]} tokens in a pass"
    never = bench_fails(here, Fake({1: lambda job: Outcome("out_of_memory", "no room")}))
    assert never.status == "failed" and never.reason == "no room"


def bench_fails(here: Bench, runner: Fake) -> Any:
    here.trial_loop(runner).run(total=2)
    return RunFolder(here.out / "trials" / "1").result()


def test_what_is_no_trials_fault_leaves_it_to_go_on(bench: Callable[..., Bench]) -> None:
    here = bench()
    for outcome, error in (
        (Outcome("interrupted", "SIGTERM came"), Interrupted),
        (Outcome("stopped", "no room"), DiskFull),
    ):
        with pytest.raises(error, match=outcome.reason):
            here.trial_loop(Fake({0: lambda job, said=outcome: said})).run(total=1)  # type: ignore[misc]
        assert here.states() == ["WAITING"]
    runner = Fake()
    here.trial_loop(runner).run(total=1)
    assert here.states() == ["COMPLETE"] and runner.jobs[0].title == "trial 0"


def test_asked_to_leave_it_takes_no_more_trials(bench: Callable[..., Bench]) -> None:
    here = bench()

    def ask(job: Job) -> None:
        here.leave = "SIGTERM"

    with pytest.raises(Interrupted, match="SIGTERM came; the same command goes on"):
        here.trial_loop(Fake({1: ask})).run(total=5)
    assert here.states() == ["COMPLETE", "COMPLETE"]


def test_failures_in_a_row_end_the_study_and_others_do_not(bench: Callable[..., Bench]) -> None:
    here = bench(max_failures=2)
    acts: dict[int, Act] = {number: lambda job: Outcome("failed", "broken") for number in (0, 2, 3)}
    with pytest.raises(StudyFailed, match="2 trials in a row failed, the last with: broken"):
        here.trial_loop(Fake(acts)).run(total=9)
    assert here.states() == ["FAIL", "COMPLETE", "FAIL", "FAIL"]


def test_a_space_that_is_exhausted_ends_the_study(bench: Callable[..., Bench]) -> None:
    here = bench(optim={"lr": [1e-3, 2e-3]})
    trial_loop = here.trial_loop(Fake())
    trial_loop.run(total=9)
    done = [trial for trial in here.study.get_trials() if trial.state is TrialState.COMPLETE]
    assert len(done) == 4 and trial_loop.notes == ("every configuration of the space has been tried",)


def test_some_trials_may_be_enough(bench: Callable[..., Bench]) -> None:
    here = bench()
    assert here.trial_loop(Fake()).run(total=9, at_most=2) == 2 and here.states() == ["COMPLETE"] * 2


def test_a_trial_that_another_worker_took_over_is_not_told(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = bench()
    monkeypatch.setattr(TrialQueue, "write", lambda *_, **__: False)
    runner = Fake()
    here.trial_loop(runner).run(total=1, at_most=1)
    assert runner.jobs == [] and here.states() == ["RUNNING"] and not (here.out / "trials").exists()


def test_several_objectives_are_told_in_their_order(bench: Callable[..., Bench]) -> None:
    here = bench(objective=["f1_macro", "memory", "parameters"], pruner="median")
    here.trial_loop(Fake()).run(total=2)
    values = [trial.values for trial in here.study.get_trials()]
    assert all(value[1:] == [1000.0, 10.0] for value in values) and values[0][0] != values[1][0]
    assert [direction.name for direction in here.study.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"engine": "proceses"}, "unknown engine 'proceses'; did you mean 'processes'"),
        (
            {"engine": "here", "n_jobs": 2},
            r"one trial at a time, but search.n_jobs \(--jobs\) is 2; set it to 1, or take",
        ),
        ({"engine": "here", "gpus_per_trial": 0.5}, r"is for the engine 'ray', but got 'here'; remove it, or take"),
    ],
)
def test_engines_are_known_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        make_runner(**{"n_jobs": 1, "gpus_per_trial": None, **given})


def test_dashboards_find_the_study_as_optuna_keeps_it(bench: Callable[..., Bench]) -> None:
    here = bench()
    here.trial_loop(Fake()).run(total=2)
    close_study(here.study)
    (summary,) = optuna.get_all_study_summaries(f"sqlite:///{here.out / 'study.db'}")
    assert summary.n_trials == 2 and summary.best_trial is not None
