"""Trials in warm processes: the same results, and whatever happens to one of them happens to it alone."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny_runs import config, wait_for, write_rows
from tunery.execution.forked import WarmProcesses
from tunery.execution.in_process import InThisProcess
from tunery.execution.memory import halved
from tunery.execution.runner import Epoch, Job, Outcome, Prune, Runner
from tunery.schema.reading.document import validate
from tunery.schema.results.run import RunResult
from tunery.store.folder import RunFolder
from tunery.store.objects.objects import Objects

Make = Callable[..., Job]


def on(_: Epoch) -> None:
    return None


def nothing() -> None:
    return None


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmProcesses]:
    runner = WarmProcesses()
    yield runner
    runner.close()


@pytest.fixture
def make(tiny_bert: Path, tmp_path: Path) -> Make:
    """Makes jobs of one study; sections replace those of the config."""
    files = write_rows(tmp_path)

    def job(number: int = 0, study: str = "study", **sections: Any) -> Job:
        train = {"epochs": 2, "batch_size": 8, "early_stopping": None}
        document = {"train": train, "checkpoint": {"min_free": 0}, **sections}
        root = tmp_path / study
        folder = root / "trials" / str(number)
        return Job(config(str(tiny_bert), files, **document), folder, root, f"trial {number}", alone=False)

    return job


def result_of(job: Job) -> RunResult:
    result = RunFolder(job.folder).result()
    assert result is not None
    return result


def weights(job: Job) -> dict[str, torch.Tensor]:
    return Objects(job.study / "objects").get(result_of(job).checkpoints[0].digest)


def points(job: Job) -> list[Path]:
    return list((job.folder / "resume").glob("step-*.json"))


def pid_of(job: Job) -> int:
    return int(json.loads((job.folder / ".lock").read_text())["pid"])


def at(number: int, act: Callable[[], object]) -> Prune:
    """A `prune` that does something to the process after one epoch, while that waits for the answer."""

    def prune(epoch: Epoch) -> None:
        if epoch.number == number:
            act()

    return prune


def kill(job: Job, how: signal.Signals) -> Callable[[], object]:
    return lambda: os.kill(pid_of(job), how)


@pytest.mark.parametrize("method", ["none", "lora"])
def test_the_result_is_that_of_this_process_bit_for_bit(warm: WarmProcesses, make: Make, method: str) -> None:
    runners: dict[str, Runner] = {"here": InThisProcess(), "there": warm}
    found = {}
    for name, runner in runners.items():
        heard: list[Epoch] = []
        job = make(study=name, peft={"method": method})
        assert runner.run(job, prune=heard.append, stop=nothing) == Outcome("completed")
        result = result_of(job)
        found[name] = (result.checkpoints[0].digest, result.metrics, result.tokens, result.environment)
        assert [epoch.number for epoch in heard] == [1, 2] and heard[1].progress.seconds.total > 0
    assert found["here"] == found["there"]


def test_a_server_warms_up_before_there_is_a_run(make: Make) -> None:
    job, before = make(), children_of(os.getpid())
    runner = WarmProcesses()
    try:
        runner.warm_up(job.config)
        (server,) = children_of(os.getpid()) - before
        until = time.monotonic() + 60
        while "libtorch" not in files_of(server) and time.monotonic() < until:
            time.sleep(0.1)
        assert "libtorch" in files_of(server)
        assert runner.run(job, prune=on, stop=nothing) == Outcome("completed")
        assert children_of(os.getpid()) - before == {server}
    finally:
        runner.close()


def children_of(pid: int) -> set[int]:
    return {int(found) for path in Path(f"/proc/{pid}/task").glob("*/children") for found in path.read_text().split()}


def files_of(pid: int) -> str:
    """What a process has mapped into its memory."""
    return Path(f"/proc/{pid}/maps").read_text()


def test_the_judge_ends_a_run(warm: WarmProcesses, make: Make) -> None:
    job = make()
    outcome = warm.run(job, prune=lambda epoch: f"enough after {epoch.number}", stop=nothing)
    assert outcome == Outcome("pruned", "enough after 1") and RunFolder(job.folder).progress().epochs == 1


def test_what_is_refused_is_refused_in_words(warm: WarmProcesses, make: Make, tmp_path: Path) -> None:
    outcome = warm.run(make(data={"train": str(tmp_path / "nowhere.csv")}), prune=on, stop=nothing)
    assert outcome.status == "refused" and "nowhere.csv" in (outcome.reason or "")


def test_what_kills_a_process_touches_only_its_trial(warm: WarmProcesses, make: Make) -> None:
    for how, status in ((signal.SIGSEGV, "failed"), (signal.SIGKILL, "out_of_memory")):
        job = make(how)
        outcome = warm.run(job, prune=at(1, kill(job, how)), stop=nothing)
        assert outcome.status == status and f"was killed by {how.name}" in (outcome.reason or "")
    assert warm.run(make(0), prune=on, stop=nothing) == Outcome("completed")


def test_where_memory_runs_out_half_as_much_goes_on_to_the_same_weights(warm: WarmProcesses, make: Make) -> None:
    sections = {
        "train": {"epochs": 3, "batch_size": 8, "early_stopping": None},
        "peft": {"method": "lora", "dropout": 0.0},
        "regularization": {"head_dropout": 0.0},  # how it is drawn depends on the shape of a pass
    }
    whole, torn = make(0, **sections), make(1, **sections)
    warm.run(whole, prune=on, stop=nothing)
    assert warm.run(torn, prune=at(2, kill(torn, signal.SIGKILL)), stop=nothing).status == "out_of_memory"
    smaller = halved(torn.config, 24)
    assert smaller is not None and smaller.train.micro_batch_tokens == 8 * 24 // 2
    heard: list[Epoch] = []
    assert warm.run(replace(torn, config=smaller), prune=heard.append, stop=nothing) == Outcome("completed")
    assert [epoch.number for epoch in heard] == [2, 3]  # from the resume point
    before, after = weights(whole), weights(torn)
    assert all(torch.allclose(before[name], after[name], atol=1e-5) for name in before)


def test_what_hangs_is_ended_after_a_while(warm: WarmProcesses, make: Make) -> None:
    job = make(search={"stall_timeout": 3})
    outcome = warm.run(job, prune=at(1, kill(job, signal.SIGSTOP)), stop=nothing)
    assert outcome == Outcome("failed", "no progress for 3 s; search.stall_timeout sets how long to wait")
    assert gone(pid_of(job))


def test_asked_to_stop_it_saves_and_goes_on_later(warm: WarmProcesses, make: Make) -> None:
    job, pids = make(train={"epochs": 100, "batch_size": 8, "early_stopping": None}), list[int]()
    outcome = warm.run(job, prune=lambda _: pids.append(pid_of(job)), stop=lambda: "SIGINT" if pids else None)
    assert outcome.status == "interrupted" and "the same command resumes it" in (outcome.reason or "")
    assert points(job) and gone(pids[0])


def test_asked_to_stop_before_anything_begins_nothing_does(make: Make) -> None:
    runner, job = WarmProcesses(), make()
    assert runner.run(job, prune=on, stop=lambda: "SIGINT").status == "interrupted"
    runner.close()
    assert not job.folder.exists()


def test_a_judge_that_raises_leaves_no_process(warm: WarmProcesses, make: Make) -> None:
    def prune(_: Epoch) -> None:
        raise KeyError("a second signal")

    job = make()
    with pytest.raises(KeyError, match="a second signal"):
        warm.run(job, prune=prune, stop=nothing)
    assert wait_for(lambda: gone(pid_of(job)), 20)
    assert not points(job)  # it was not asked


def test_two_run_at_once(warm: WarmProcesses, make: Make) -> None:
    jobs = [make(number, train={"epochs": 4, "batch_size": 8}) for number in (0, 1)]
    there: set[int] = set()

    def met(job: Job) -> Prune:
        def prune(_: Epoch) -> str | None:
            there.add(pid_of(job))
            return None if wait_for(lambda: len(there) == 2, 60) else "alone"

        return prune

    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(lambda job: warm.run(job, prune=met(job), stop=nothing), jobs))
    assert outcomes == [Outcome("completed")] * 2 and len(there) == 2


def test_a_trial_outlives_the_server_and_the_next_has_another(warm: WarmProcesses, make: Make) -> None:
    first = make(0)

    def act() -> None:
        os.kill(parent_of(pid_of(first)), signal.SIGKILL)

    assert warm.run(first, prune=at(1, act), stop=nothing) == Outcome("completed")
    assert warm.run(make(1), prune=on, stop=nothing) == Outcome("completed")


def test_what_a_fork_cannot_use_gets_an_interpreter_of_its_own(warm: WarmProcesses, make: Make) -> None:
    pytest.importorskip("bitsandbytes")
    job = make(peft={"method": "lora"})
    quantised = job.config.model_dump(mode="json")
    quantised["model"]["quantization"] = "nf4"
    quantised["name"] = "n" * 2**18  # more than an argument may have
    assert warm.run(replace(job, config=validate(quantised)), prune=on, stop=nothing) == Outcome("completed")


def test_a_trial_whose_process_cannot_be_started_fails_alone(
    warm: WarmProcesses, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "getcwd", lambda: str(tmp_path / "gone"))
        outcome = warm.run(make(0), prune=on, stop=nothing)
    assert outcome.status == "failed" and "its process could not be started: " in (outcome.reason or "")
    assert warm.run(make(1), prune=on, stop=nothing) == Outcome("completed")


SCRIPT = """
import json, sys
from pathlib import Path
from tunery.execution.forked import WarmProcesses
from tunery.execution.runner import Job
from tunery.schema.reading.document import validate
job = Job(validate(json.loads(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]), "trial 0", alone=False)
WarmProcesses().run(job, prune=lambda _: None, stop=lambda: None)
"""


def test_a_killed_study_leaves_no_process_and_the_trial_can_go_on(make: Make) -> None:
    job = make(train={"epochs": 100, "batch_size": 8, "early_stopping": None})
    arguments = [json.dumps(job.config.model_dump(mode="json")), str(job.folder), str(job.study)]
    threads = {**os.environ, "OMP_NUM_THREADS": "2"}
    study = subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], env=threads, stderr=subprocess.DEVNULL)
    try:
        assert wait_for(lambda: bool(points(job)), 120)
        session = os.getsid(pid_of(job))
        assert len(members_of(session)) == 3  # the server, the trial, and who reads its export
    finally:
        study.kill()
        study.wait()
    assert wait_for(lambda: not members_of(session), 30)
    assert points(job) and RunFolder(job.folder).result() is None
    environment = RunFolder(job.folder).progress().environment
    usual = min(2, os.cpu_count() or 1)  # the server that it was forked from has one
    assert environment is not None and f", {usual} thread" in environment.device


def test_trials_at_once_share_the_threads_that_one_would_have(make: Make) -> None:
    trials = [replace(make(search={"n_jobs": jobs}), alone=jobs == 1) for jobs in (1, 3, 16)]
    assert [trial.share_of(8) for trial in trials] == [8, 2, 1]
    assert replace(trials[1], alone=True).share_of(8) == 8  # a cell of a comparison, which runs alone


def members_of(session: int) -> list[int]:
    found = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [pid for pid in found if _field(pid, 3) == session and not gone(pid)]


def parent_of(pid: int) -> int:
    parent = _field(pid, 1)
    assert parent is not None
    return parent


def gone(pid: int) -> bool:
    return _fields(pid)[:1] in ([], ["Z"])


def _field(pid: int, index: int) -> int | None:
    """1: the parent, 3: the session."""
    fields = _fields(pid)
    return int(fields[index]) if fields else None


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
