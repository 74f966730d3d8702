"""Several processes work on one study, and are killed: nothing that is referred to is gone, nothing else stays."""

import multiprocessing
import os
import random
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from stored_runs import finish, keep_best, save_point, trial, weights
from tunery.schema.config.checkpoint import Checkpoint
from tunery.store.disk.ownership import is_temporary, temporary
from tunery.store.disk.run_lock import run_lock
from tunery.store.folder import RunFolder
from tunery.store.objects.objects import Objects
from tunery.store.resume import Point
from tunery.store.study import StudyStore

NEED = 6_000
"""An upper bound of what an epoch's weights, or a resume point of them, take on disk."""
TRIALS, AT_ONCE, EPOCHS, CANDIDATES = 30, 3, 4, 3


def store_of(root: Path, max_disk: int | None = None) -> StudyStore:
    rule = Checkpoint(keep_last=1, keep_best=2, co_best=2, max_disk=max_disk, min_free=0)
    return StudyStore(root, rule, direction="maximize", candidates=CANDIDATES)


def value_of(number: int, step: int) -> float:
    """Of a few values, so that there are equals among epochs and among trials."""
    return random.Random(f"{number} {step}").choice([0.1, 0.2, 0.3, 0.4])


def key_of(number: int, step: int) -> str:
    return f"{number}:{step}"


def train(root: Path, number: int, max_disk: int | None) -> None:
    """What `fit` does to the disk in a process of its own, from where the trial was left."""
    os.fsync = lambda fd: None  # processes die here, machines do not
    store = store_of(root, max_disk)
    run = store.run(trial(root, number))
    with run_lock(run.path, {}, record="result.json"):
        found = store.resume_run(run, lambda point: [store.objects.get(each.digest) for each in point.objects.values()])
        for step in range(found[0].step + 1 if found else 1, EPOCHS + 1):
            store.write(NEED, partial(score, run, number, step))
            store.tidy()
            store.write(NEED, partial(save_point, run, step, key=key_of(number, step)))
            store.tidy()
        best = run.best()
        assert best is not None and best.value is not None
        assert torch.equal(store.objects.get(best.digest)["w"], weights(key_of(number, best.step))["w"])
        finish(run, best.value)
        store.tidy()


def score(run: RunFolder, number: int, step: int) -> None:
    """Inside of a turn, as in training: what was kept before is read here."""
    value, kept = value_of(number, step), run.kept()
    if not kept or value > (kept[0].value or 0):
        keep_best(run, step, value, key=key_of(number, step))
    elif value == kept[0].value and len(kept) < 2:
        keep_best(run, step, value, key=key_of(number, step), before=kept)


def everything_that_is_referred_to_is_there(root: Path, max_disk: int | None) -> None:
    objects = Objects(root / "objects")
    for path in (root / "trials").glob("*"):
        run = RunFolder(path, objects=objects)
        points = run.resume.points() if run.result() is None else []
        needed = [{record.digest for record in run.kept()}, *(point.needs() for point in points)]
        for digest in set().union(*needed):
            objects.check(digest)
    if max_disk is not None:
        assert store_of(root).used() <= max_disk


@pytest.mark.parametrize("max_disk", [None, 16 * NEED], ids=["room", "budget"])
def test_processes_that_are_killed_while_others_work_leave_a_sound_study(tmp_path: Path, max_disk: int | None) -> None:
    context, chance, kills = multiprocessing.get_context("fork"), random.Random(7), 0
    watching = store_of(tmp_path, max_disk)
    waiting, running = list(range(TRIALS)), {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            number = waiting.pop(0)
            running[number] = context.Process(target=train, args=(tmp_path, number, max_disk))
            running[number].start()
        time.sleep(chance.uniform(0, 0.01))
        watching.write(0, partial(everything_that_is_referred_to_is_there, tmp_path, max_disk))
        if chance.random() < 0.5 and kills < 60:
            victim = running[chance.choice(list(running))]
            victim.kill()
            victim.join()
            kills += 1
        for number, process in [*running.items()]:
            if process.exitcode is not None:
                assert process.exitcode in (0, -signal.SIGKILL), f"trial {number} failed"
                running.pop(number).close()
                waiting[:0] = [] if RunFolder(trial(tmp_path, number)).result() else [number]
    assert kills > 10
    the_best_and_nothing_else_is_left(tmp_path, max_disk)


def the_best_and_nothing_else_is_left(root: Path, max_disk: int | None) -> None:
    values = {number: max(value_of(number, step) for step in range(1, EPOCHS + 1)) for number in range(TRIALS)}
    order = sorted(values, key=lambda number: (-values[number], number))
    store = store_of(root, max_disk)
    for number in range(TRIALS):
        store.run(trial(root, number)).close()  # as the same command does, where a process died before it could
    store.tidy()
    orphans = [Path(item.path) for item in store.storage().items if item.kind == "orphan"]
    assert all(
        is_temporary(path) and path.parts[0] == "trials" for path in orphans
    )  # `run_lock` and `clean` know those
    keeping = {number for number in values if store.run(trial(root, number)).kept()}
    assert keeping <= set(order[:CANDIDATES]) and order[0] in keeping
    if max_disk is None:
        assert keeping == set(order[:CANDIDATES])
        store.conclude()
        assert [number for number in order if store.run(trial(root, number)).kept()] == order[:2]
    best = store.run(trial(root, order[0])).best()
    assert best is not None
    assert torch.equal(store.objects.get(best.digest)["w"], weights(key_of(order[0], best.step))["w"])


def test_nothing_is_removed_between_an_object_and_what_refers_to_it(tmp_path: Path) -> None:
    store, other = store_of(tmp_path), store_of(tmp_path)
    run, tidied = store.run(trial(tmp_path, 0)), threading.Event()
    sweeper = threading.Thread(target=lambda: (other.tidy(), tidied.set()))

    def save() -> Point:
        run.objects.put(weights("5"))
        sweeper.start()
        assert not tidied.wait(0.1)
        return save_point(run, 5, key="5")

    point = store.write(NEED, save)
    assert tidied.wait(30)
    sweeper.join()
    assert store.objects.digests() == point.needs()


@pytest.mark.parametrize(("max_disk", "waits"), [(None, False), (100 * NEED, True)])
def test_an_export_keeps_others_waiting_only_where_it_counts_against_a_budget(
    tmp_path: Path, max_disk: int | None, waits: bool
) -> None:
    store, other, tidied = store_of(tmp_path, max_disk), store_of(tmp_path, max_disk), threading.Event()
    sweeper = threading.Thread(target=lambda: (other.tidy(), tidied.set()))

    def export() -> bool:
        sweeper.start()
        return tidied.wait(0.1 if waits else 30)

    assert store.export(NEED, export) is not waits
    sweeper.join()


def test_an_equal_epoch_that_was_dropped_is_not_taken_up_again(tmp_path: Path) -> None:
    first = store_of(tmp_path)
    run = first.run(trial(tmp_path, 0))
    keep_best(run, 1, 0.5, key="0:1")
    keep_best(run, 2, 0.5, key="0:2", before=run.kept())
    save_point(run, 2, key="of a later step")
    run.write_kept(run.kept()[:1])
    store_of(tmp_path).tidy()  # of another process; the point does without the equal
    again = store_of(tmp_path)
    found = again.resume_run(again.run(trial(tmp_path, 0)), lambda point: "read")
    assert found is not None and found[1] == "read"
    assert [record.step for record in run.kept()] == [1]
    everything_that_is_referred_to_is_there(tmp_path, None)


def test_spare_points_of_another_process_go_only_when_room_is_needed(tmp_path: Path) -> None:
    run = store_of(tmp_path).run(trial(tmp_path, 0))
    save_point(run, 1, key="0:1")
    save_point(run, 2, key="0:2")
    other = store_of(tmp_path)
    other.tidy(1)
    assert [point.step for point in run.resume.points()] == [2, 1]
    other.tidy(2)
    assert [point.step for point in run.resume.points()] == [2]


def test_a_half_written_object_is_a_dead_processs_and_goes(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    left = temporary(tmp_path / "objects" / "x.safetensors")
    left.parent.mkdir()
    left.write_text("half")
    assert store.tidy() == 0
    assert not left.exists()
