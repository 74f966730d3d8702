"""Features of rows on disk: a cache, which is whole or absent, gives way to everything else, and fails nothing."""

import errno
import json
import multiprocessing
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from faults import ERRNOS, FaultyDisk, faulty
from stored_runs import keep_best, trial, weights
from tunery.errors import DiskFull
from tunery.schema.config.checkpoint import Checkpoint
from tunery.store.cleaning import clean_run
from tunery.store.disk.files import size
from tunery.store.disk.ownership import FEATURES, temporary
from tunery.store.disk.run_lock import own
from tunery.store.features import FeatureFile, Features
from tunery.store.study import StudyStore

KEY, OTHER = "0" * 31 + "1", "0" * 31 + "2"
ROWS = np.random.default_rng(0).random((300, 7), dtype=np.float32)
SHAPE = (300, 7)


def put(features: Features) -> None:
    with features.writing(KEY, SHAPE) as write:
        write(ROWS[:200])
        write(ROWS[200:])


def are_whole(known: FeatureFile | None) -> bool:
    """Whether what was found is what was written; absent is whole, too, and so is what goes while it is read."""
    with suppress(FileNotFoundError):
        return known is None or known.all().tobytes() == ROWS.tobytes()
    return True


def store_of(root: Path, **rule: Any) -> StudyStore:
    return StudyStore(root, Checkpoint.model_validate({"min_free": 0, **rule}), direction="maximize")


def removed(root: Path) -> list[tuple[str, str]]:
    """Path of what was removed, and why."""
    events = [json.loads(line) for line in (root / "events.jsonl").read_text().splitlines()]
    return [(event["path"], event["why"]) for event in events if event["event"] == "removed"]


def test_what_was_kept_comes_back_bit_for_bit_and_other_tools_can_read_it(tmp_path: Path) -> None:
    features = Features(tmp_path)
    assert features.find(KEY) is None
    put(features)
    back = features.find(KEY)
    assert back is not None and back.shape == SHAPE and are_whole(back)
    assert features.find(OTHER) is None
    assert load_file(features.path(KEY))["features"].nbytes == ROWS.nbytes


@pytest.mark.parametrize("left", [0, 1, 100, 1000, ROWS.nbytes])
def test_a_file_that_is_cut_off_or_has_rotten_is_absent_and_is_replaced(tmp_path: Path, left: int) -> None:
    features = Features(tmp_path)
    put(features)
    path = features.path(KEY)
    content = path.read_bytes()
    rotten = content[:left] + bytes([content[left] ^ 1]) + content[left + 1 :]
    for damaged in (content[:left], rotten):
        path.write_bytes(damaged)
        assert features.find(KEY) is None
    put(features)
    assert path.read_bytes() == content


def test_a_few_are_read_at_a_time_as_long_as_the_file_is_there(tmp_path: Path) -> None:
    put(features := Features(tmp_path))
    assert (found := features.find(KEY)) is not None
    into = [np.zeros((count, 7), dtype=np.float32) for count in (3, 1, 100)]
    found.read([297, 0, 50], into)
    assert all((array == rows).all() for array, rows in zip(into, (ROWS[297:], ROWS[:1], ROWS[50:150]), strict=True))
    content = features.path(KEY).read_bytes()
    features.path(KEY).write_bytes(content[:-1])
    with pytest.raises(OSError, match="cut off"):
        found.all()
    features.clear()
    with pytest.raises(FileNotFoundError):
        found.read([0], into[:1])


def test_nothing_is_computed_for_which_there_is_no_room(tmp_path: Path) -> None:
    def never() -> Iterator[Any]:
        raise AssertionError
        yield

    store = store_of(tmp_path, max_disk=ROWS.nbytes)
    store.keep_features(KEY, SHAPE, never())
    assert store.features.find(KEY) is None


def test_what_is_being_written_counts_from_the_beginning_and_leaves_nothing_where_it_is_given_up(
    tmp_path: Path,
) -> None:
    store, seen = store_of(tmp_path), list[int]()

    def parts() -> Iterator[Any]:
        seen.append(store.used())
        yield ROWS[:1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.keep_features(KEY, SHAPE, parts())
    assert seen[0] > ROWS.nbytes and store.used() == 0 and store.features.find(KEY) is None


def test_they_are_counted_named_and_cleaned(tmp_path: Path) -> None:
    own(tmp_path)
    store = store_of(tmp_path)
    keep_best(store.run(trial(tmp_path, 0)), 10, 0.5, key="0")
    before = store.used()
    store.keep_features(KEY, SHAPE, [ROWS])
    temporary(store.features.path(OTHER)).write_bytes(b"half")
    (tmp_path / FEATURES / "notes.txt").write_text("mine")
    assert store.used() - before == size(tmp_path / FEATURES) == store.features.used()
    (item,) = [item for item in store.storage().items if item.kind == "features"]
    assert item.path == f"features/{KEY}.safetensors" and ROWS.nbytes < item.bytes < ROWS.nbytes + 1024
    assert store.storage().bytes == before + item.bytes + len(b"half")
    assert len(clean_run(tmp_path, delete=False)) == len(clean_run(tmp_path, delete=True)) == 2
    assert [path.name for path in (tmp_path / FEATURES).iterdir()] == ["notes.txt"]
    assert store.used() == before + len("mine")


def test_runs_that_are_trained_again_use_those_of_their_study_and_cells_those_of_their_comparison(
    tmp_path: Path,
) -> None:
    own(tmp_path / "study")
    again = store_of(tmp_path / "study" / "rescored")
    again.keep_features(KEY, SHAPE, [ROWS])
    assert store_of(tmp_path / "study").features.find(KEY) is not None
    assert again.used() == store_of(tmp_path / "study").used() > ROWS.nbytes
    rule, comparison = Checkpoint(min_free=0), tmp_path / "comparison"
    cell = StudyStore(comparison / "cells" / "lora" / "0", rule, direction="maximize", comparison=comparison)
    cell.keep_features(KEY, SHAPE, [ROWS])
    assert Features(comparison).find(KEY) is not None and cell.used() > ROWS.nbytes
    for store in (again, cell):
        store.conclude()
        assert store.features.find(KEY) is not None


def test_the_end_of_a_study_frees_them(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    store.keep_features(KEY, SHAPE, [ROWS])
    store.tidy()
    assert store.features.find(KEY) is not None
    assert store.conclude() > ROWS.nbytes and not (tmp_path / FEATURES).exists()
    assert removed(tmp_path) == [(f"features/{KEY}.safetensors", "nobody needs it any more")]


def test_nothing_gives_way_to_them(tmp_path: Path) -> None:
    """Neither weights that only the end of a study needs, nor what must stay free."""
    keep_best(store_of(tmp_path).run(trial(tmp_path, 0)), 10, 0.5, key="0")
    store_of(tmp_path).objects.put(weights("nobody's"))
    used = store_of(tmp_path).used()
    for tight in (store_of(tmp_path, max_disk=used + ROWS.nbytes), store_of(tmp_path, min_free=0.999, low_disk="wait")):
        tight.keep_features(KEY, SHAPE, [ROWS])
        assert tight.features.find(KEY) is None and tight.used() == used
    assert not (tmp_path / "events.jsonl").exists()


@pytest.mark.parametrize("low_disk", ["evict", "stop", "wait"])
def test_they_are_the_first_to_go(tmp_path: Path, low_disk: str) -> None:
    keep_best(store_of(tmp_path).run(trial(tmp_path, 0)), 10, 0.5, key="0")
    room = store_of(tmp_path).used() + ROWS.nbytes + 5_000
    store = store_of(tmp_path, max_disk=room, low_disk=low_disk)
    store.keep_features(KEY, SHAPE, [ROWS])
    assert store.write(1_000, lambda: store.features.find(KEY)) is not None
    assert store.write(ROWS.nbytes, lambda: store.features.find(KEY)) is None
    assert removed(tmp_path) == [(f"features/{KEY}.safetensors", "room was needed: can be computed again")]
    assert store.run(trial(tmp_path, 0)).best() is not None


@pytest.mark.parametrize("low_disk", ["evict", "stop", "wait"])
def test_they_go_where_the_file_system_refuses(tmp_path: Path, low_disk: str) -> None:
    """A quota, say, which no number has told of."""
    store = store_of(tmp_path, low_disk=low_disk)
    store.keep_features(KEY, SHAPE, [ROWS])

    def action() -> str:
        if store.features.used():
            raise OSError(errno.EDQUOT, "quota")
        return "done"

    assert store.write(10, action) == "done"
    with pytest.raises(DiskFull):
        store_of(tmp_path, max_disk=1).write(2, lambda: None)


@pytest.mark.parametrize("error", ERRNOS)
def test_a_disk_that_refuses_to_keep_them_fails_nothing(tmp_path: Path, error: int) -> None:
    with faulty(FaultyDisk(tmp_path / "whole")) as disk:
        store_of(disk.root).keep_features(KEY, SHAPE, [ROWS[:100], ROWS[100:]])
    assert len(disk.log) > 5
    for place, operation in enumerate(disk.log):
        store = store_of(tmp_path / str(place))
        with faulty(FaultyDisk(store.root, refuse=place, error=error)):
            store.keep_features(KEY, SHAPE, [ROWS])
        known = store.features.find(KEY)
        assert are_whole(known), operation
        assert not store.features.used() or known is not None, operation


def work(root: Path, worker: int) -> None:
    """Keeps, reads and clears; whatever it reads is whole."""
    store = store_of(root)
    for turn in range(60):
        store.keep_features(KEY, SHAPE, [ROWS])
        assert are_whole(store.features.find(KEY))
        if turn % 4 == worker:
            store.features.clear()


def test_processes_that_write_read_and_clear_them_at_once_read_them_whole_or_not_at_all(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(tmp_path, worker)) for worker in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    store_of(tmp_path).features.clear()
    assert not (tmp_path / FEATURES).exists()
