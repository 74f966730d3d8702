"""Runs as tasks of a real Ray on this machine."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from tiny_runs import config, write_rows
from tunery.errors import MissingExtra, RequestError
from tunery.execution.ray_tasks import RayTasks
from tunery.execution.runner import Epoch, Job, Outcome
from tunery.store.disk.lock import holder
from tunery.store.folder import RunFolder

Make = Callable[..., Job]


def on(_: Epoch) -> None:
    return None


def nothing() -> None:
    return None


def test_ray_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"ray is not installed. Type: pip install 'tunery\[ray\]'"):
        RayTasks(gpus_per_trial=0)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two processors, and a device that nobody has to own for it to be given away in halves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        ray.init(num_cpus=2, num_gpus=1, object_store_memory=80 * 2**20, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def tasks(cluster: None) -> Iterator[RayTasks]:
    tasks = RayTasks(gpus_per_trial=0)
    yield tasks
    tasks.close()


@pytest.fixture
def make(tiny_bert: Path, tmp_path: Path) -> Make:
    files = write_rows(tmp_path)

    def job(number: int = 0, *, epochs: int = 2, stall_timeout: float = 60.0, data: dict[str, str] = files) -> Job:
        train = {"epochs": epochs, "batch_size": 8, "early_stopping": None}
        given = config(
            str(tiny_bert), data, train=train, checkpoint={"min_free": 0}, search={"stall_timeout": stall_timeout}
        )
        study = tmp_path / "study"
        return Job(given, study / "trials" / str(number), study, f"trial {number}")

    return job


@pytest.mark.service
def test_a_task_trains_and_every_epoch_is_judged(tasks: RayTasks, make: Make) -> None:
    heard: list[Epoch] = []
    job = make()
    assert tasks.run(job, prune=heard.append, stop=nothing) == Outcome("completed")
    result = RunFolder(job.folder).result()
    assert result is not None and result.objective.value == max(epoch.value or 0 for epoch in heard)
    assert [epoch.number for epoch in heard] == [1, 2] == [epoch.progress.epochs for epoch in heard]


@pytest.mark.service
def test_a_task_is_given_up(tasks: RayTasks, make: Make) -> None:
    def prune(epoch: Epoch) -> str | None:
        return "too slow" if epoch.number == 2 else None

    assert tasks.run(make(epochs=5), prune=prune, stop=nothing) == Outcome("pruned", "too slow")


@pytest.mark.service
def test_a_task_saves_and_leaves_and_another_goes_on(tasks: RayTasks, make: Make) -> None:
    heard: list[int] = []

    def prune(epoch: Epoch) -> None:
        heard.append(epoch.number)

    job = make(epochs=40)
    outcome = tasks.run(job, prune=prune, stop=lambda: "SIGTERM" if heard else None)
    assert outcome.status == "interrupted" and "SIGTERM came" in str(outcome.reason)
    assert RunFolder(job.folder).result() is None and len(heard) < 40
    left = len(heard)
    assert tasks.run(job, prune=prune, stop=nothing) == Outcome("completed")
    assert heard[left] > left - 1 and heard[-1] == 40 and heard[left] > 1


@pytest.mark.service
def test_what_is_wrong_with_a_task_touches_no_other(tasks: RayTasks, make: Make) -> None:
    def crash(epoch: Epoch) -> None:
        send(job, signal.SIGKILL)

    job = make()
    outcome = tasks.run(job, prune=crash, stop=nothing)
    assert outcome.status == "failed" and "the task ended with WorkerCrashedError" in str(outcome.reason)
    refused = tasks.run(
        make(1, data={**job.config.data.model_dump(), "train": "nowhere.jsonl"}), prune=on, stop=nothing
    )
    assert refused.status == "refused" and "nowhere.jsonl" in str(refused.reason)


@pytest.mark.service
def test_a_task_that_hangs_is_ended(tasks: RayTasks, make: Make) -> None:
    def hang(epoch: Epoch) -> None:
        send(job, signal.SIGSTOP)

    job = make(stall_timeout=2.0)
    outcome = tasks.run(job, prune=hang, stop=nothing)
    assert outcome == Outcome("failed", "no progress for 2 s; search.stall_timeout sets how long to wait")


@pytest.mark.service
def test_what_the_judge_raises_ends_the_task(tasks: RayTasks, make: Make) -> None:
    def prune(epoch: Epoch) -> None:
        raise ZeroDivisionError("the database is away")

    job = make(epochs=100)
    with pytest.raises(ZeroDivisionError, match="the database is away"):
        tasks.run(job, prune=prune, stop=nothing)
    wait_until_free(job)


@pytest.mark.service
def test_a_task_for_which_there_is_no_room_leaves_at_once(cluster: None, make: Make) -> None:
    busy, waiting = RayTasks(gpus_per_trial=1), RayTasks(gpus_per_trial=1)

    def prune(epoch: Epoch) -> str:
        assert waiting.run(make(1), prune=on, stop=lambda: "SIGTERM") == Outcome("interrupted", "nothing had begun")
        return "enough"

    assert busy.run(make(), prune=prune, stop=nothing).status == "pruned"
    busy.close()
    waiting.close()


@pytest.mark.service
def test_two_share_a_device(cluster: None, make: Make) -> None:
    tasks, both = RayTasks(gpus_per_trial=0.5, cpus_per_trial=0.5), Barrier(2, timeout=120)

    def prune(epoch: Epoch) -> str:
        both.wait()
        return "both are here"

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(tasks.run, make(number), prune=prune, stop=nothing) for number in (0, 1)]
        assert [run.result() for run in runs] == [Outcome("pruned", "both are here")] * 2
    tasks.close()


@pytest.mark.service
def test_more_than_a_machine_has_is_refused(cluster: None) -> None:
    with pytest.raises(
        RequestError, match="asks for 2 GPU and 1 CPU on one machine, but the cluster's have 1 GPU and 2"
    ):
        RayTasks(gpus_per_trial=2)


def send(job: Job, number: signal.Signals) -> None:
    """A signal to the process that trains a job."""
    at_work = holder(job.folder)
    assert at_work is not None
    os.kill(at_work.pid, number)


def wait_until_free(job: Job) -> None:
    for _ in range(600):
        if holder(job.folder) is None:
            return
        time.sleep(0.1)
    pytest.fail(f"{job.title} is still at work")
