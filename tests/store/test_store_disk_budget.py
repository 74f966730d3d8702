"""Room on the disk: made, waited for or refused; with real files, and a file system that says what a test wants."""

import errno
import json
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stored_runs import finish, keep_best, save_point, trial, weights
from tunery.errors import DiskFull, Interrupted
from tunery.schema.config.checkpoint import Checkpoint
from tunery.store.disk.disk_budget import POLL_SECONDS
from tunery.store.retention import Level
from tunery.store.study import StudyStore

Disk = namedtuple("Disk", "total used free")
KB = 1000


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What is free of a file system of 1 MB; the last entry stays."""
    left = [1000 * KB]
    monkeypatch.setattr("shutil.disk_usage", lambda path: Disk(1000 * KB, 0, left.pop(0) if len(left) > 1 else left[0]))
    return left


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., StudyStore]:
    return lambda stopping=lambda: False, say=lambda text: None, **rule: StudyStore(
        tmp_path, Checkpoint.model_validate(rule), direction="maximize", stopping=stopping, say=say
    )


def filled(store: StudyStore) -> None:
    """Trial 0 is beaten but kept, 1 the best; 2 runs: it has a best epoch, a tie of it and two points."""
    for number, value in enumerate((0.5, 0.9)):
        run = store.run(trial(store.root, number))
        keep_best(run, 10, value, key=str(number))
        finish(run, value)
    run = store.run(trial(store.root, 2))
    keep_best(run, 10, 0.7, key="2:10")
    save_point(run, 15, key="2:15")
    keep_best(run, 20, 0.7, key="2:20", before=run.kept())
    save_point(run, 30, key="2:30")


def events(store: StudyStore) -> list[dict[str, Any]]:
    path = store.root / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


GENEROUS = {"keep_last": 2, "keep_best": 2, "co_best": 2}


def holdings(store: StudyStore) -> tuple[list[int], list[int], list[int]]:
    """Trials that keep weights, steps of the running one's epochs, steps of its points."""
    running = store.run(trial(store.root, 2))
    trials = [number for number in (0, 1) if store.run(trial(store.root, number)).kept()]
    return trials, [record.step for record in running.kept()], [point.step for point in running.resume.points()]


ALL = ([0, 1], [10, 20], [30, 15])


@pytest.mark.parametrize(
    ("freed", "left"),
    [
        (0, ALL),
        (1, ([0, 1], [10, 20], [30])),
        (4 * KB, ([0, 1], [10], [30])),
        (5 * KB, ([1], [10], [30])),
    ],
)
def test_no_more_is_freed_than_room_is_needed_and_the_least_needed_goes_first(
    store: Callable[..., StudyStore], free: list[int], freed: int, left: Any
) -> None:
    full = store(**GENEROUS)
    filled(full)
    full.tidy()
    assert holdings(full) == ALL
    tight = store(**GENEROUS, max_disk=full.used() + 10 * KB - freed)
    assert tight.write(10 * KB, lambda: "done") == "done"
    assert holdings(tight) == left


def test_what_goes_is_written_down_with_the_reason(store: Callable[..., StudyStore], free: list[int]) -> None:
    full = store(**GENEROUS)
    filled(full)
    full.objects.put(weights("nobody's"))
    used = full.used()
    freed = full.tidy() + full.tidy(Level.ONE_PER_STUDY)
    found = events(full)
    assert sum(event["bytes"] for event in found) == freed
    assert used - full.used() >= freed > 0
    assert {(event["event"], event["why"]) for event in found} == {
        ("removed", "nothing refers to it any more"),
        ("removed", "room was needed: a spare resume point"),
        ("removed", "room was needed: not of the best trial"),
    }
    assert all(event["path"].startswith("objects/") and event["time"] for event in found)


def test_a_budget_that_nothing_can_meet_is_an_error_with_everything_a_person_needs(
    store: Callable[..., StudyStore], free: list[int]
) -> None:
    filled(store(**GENEROUS))
    tight = store(**GENEROUS, max_disk=12 * KB)
    with pytest.raises(DiskFull) as caught:
        tight.write(9 * KB, lambda: pytest.fail("there is no room"))
    told = str(caught.value)
    used = [event for event in events(tight) if event["event"] == "refused"]
    assert "checkpoint.max_disk allows 12 kB, but " in told and " kB are used and 9 kB more are needed. " in told
    assert told.count("objects/") == 3 and "(resume point of trial 2 at step 30)" in told
    assert f"`tunery clean {tight.root} --delete`" in told and "a higher checkpoint.max_disk" in told
    assert told.endswith("then the same command resumes") and len(used) == 1
    assert holdings(tight) == ([1], [10], [30])


def test_below_min_free_the_run_goes_on_while_there_is_room_and_says_so_once(
    store: Callable[..., StudyStore], free: list[int]
) -> None:
    free[:] = [50 * KB]
    said: list[str] = []
    low = store(say=said.append)
    assert [low.write(20 * KB, lambda: "done") for _ in range(3)] == ["done"] * 3
    assert said == [
        "checkpoint.min_free keeps 10% of the file system free (100 kB), but 50 kB are free and 20 kB are needed; "
        "nothing more can be freed, so the run goes on while there is room at all"
    ]
    assert [event["event"] for event in events(low)] == ["beyond"]
    with pytest.raises(DiskFull, match="the file system has no room: 50 kB are free and 51 kB are needed"):
        low.write(51 * KB, lambda: "done")


def test_stop_frees_nothing(store: Callable[..., StudyStore], free: list[int]) -> None:
    free[:] = [50 * KB]
    filled(store(**GENEROUS))
    low = store(low_disk="stop", **GENEROUS)
    with pytest.raises(DiskFull, match="min_free keeps 10% of the file system free"):
        low.write(1, lambda: "done")
    assert holdings(low) == ALL
    free[:] = [200 * KB]
    assert low.write(1, lambda: "done") == "done"


@pytest.mark.parametrize("low_disk", ["stop", "wait"])
def test_unreferenced_objects_are_in_nobodys_way(
    store: Callable[..., StudyStore], free: list[int], low_disk: str
) -> None:
    """A trial of another process has just ended, and that has not tidied yet."""
    full = store()
    filled(full)
    full.objects.put(weights("nobody's"))
    tight = store(low_disk=low_disk, max_disk=full.used() + 10 * KB - 1)
    assert tight.write(10 * KB, lambda: "done") == "done"
    with pytest.raises(DiskFull, match="max_disk allows"):
        tight.write(100 * KB, lambda: "done")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        assert len(slept) < 100, "nothing ends the wait"
        slept.append(seconds)

    monkeypatch.setattr("time.sleep", sleep)
    return slept


def test_wait_waits_until_there_is_room_and_says_so_once(
    store: Callable[..., StudyStore], free: list[int], pauses: list[float]
) -> None:
    said: list[str] = []
    low = store(low_disk="wait", say=said.append)
    free[:] = [50 * KB] * 40 + [500 * KB]
    assert low.write(10 * KB, lambda: "done") == "done"
    assert set(pauses) == {POLL_SECONDS} and len(pauses) > 1
    assert len(said) == 1 and said[0].startswith("waiting for room: checkpoint.min_free keeps 10%")
    assert [event["event"] for event in events(low)] == ["waiting"]


def test_who_waits_keeps_no_other_process_from_working(
    store: Callable[..., StudyStore], free: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    free[:] = [0]
    other, pauses = store(), []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        assert len(pauses) == 1, "the other process waits"
        free[:] = [500 * KB]
        other.tidy()

    monkeypatch.setattr("time.sleep", sleep)
    assert store(low_disk="wait").write(10 * KB, lambda: "done") == "done"


def test_a_signal_ends_the_wait(store: Callable[..., StudyStore], free: list[int], pauses: list[float]) -> None:
    free[:] = [0]
    low = store(low_disk="wait", stopping=lambda: len(pauses) == 2)
    with pytest.raises(Interrupted, match="stopped while waiting for room on the disk; the same command resumes"):
        low.write(10 * KB, lambda: pytest.fail("there is no room"))


def test_nobody_waits_for_what_only_this_run_could_free(
    store: Callable[..., StudyStore], free: list[int], pauses: list[float]
) -> None:
    with pytest.raises(DiskFull, match="max_disk allows 1 kB"):
        store(low_disk="wait", max_disk=KB).write(2 * KB, lambda: "done")
    assert not pauses


class Refusing:
    """An action that the file system refuses so many times, although the numbers allow it."""

    def __init__(self, times: int, code: int = errno.ENOSPC) -> None:
        self.left, self.code, self.calls = times, code, 0

    def __call__(self) -> str:
        self.calls += 1
        self.left -= 1
        if self.left >= 0:
            raise OSError(self.code, "no room", "objects/x")
        return "done"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize(
    ("times", "left"), [(1, ([0, 1], [10, 20], [30])), (2, ([0, 1], [10], [30])), (3, ([1], [10], [30]))]
)
def test_a_refused_write_is_tried_again_after_every_step_that_freed_something(
    store: Callable[..., StudyStore], free: list[int], code: int, times: int, left: Any
) -> None:
    full = store(**GENEROUS)
    filled(full)
    full.tidy()
    action = Refusing(times, code)
    assert full.write(10, action) == "done" and action.calls == times + 1
    assert holdings(full) == left


def test_a_write_that_stays_refused_is_a_full_disk(
    store: Callable[..., StudyStore], free: list[int], pauses: list[float]
) -> None:
    for low_disk in ("evict", "stop"):
        with pytest.raises(DiskFull, match=r"the file system has no room: .* no room: 'objects/x'. Largest: nothing"):
            store(low_disk=low_disk).write(10, Refusing(9))
    action = Refusing(3)
    assert store(low_disk="wait").write(10, action) == "done" and len(pauses) == 3


def test_another_error_is_not_about_room(store: Callable[..., StudyStore], free: list[int]) -> None:
    action = Refusing(9, errno.EIO)
    with pytest.raises(OSError, match="no room"):
        store().write(10, action)
    assert action.calls == 1
