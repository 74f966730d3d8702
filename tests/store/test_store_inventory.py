"""What a folder holds and why, and what of it nobody needs."""

import threading
from pathlib import Path

import pytest

from stored_runs import finish, keep_best, save_point, trial, weights
from tunery.errors import FolderError
from tunery.schema.config.checkpoint import Checkpoint
from tunery.schema.results.run import Progress
from tunery.schema.results.storage import Storage
from tunery.store.cleaning import clean, clean_run
from tunery.store.disk.files import size
from tunery.store.disk.lock import held
from tunery.store.disk.ownership import aside, temporary
from tunery.store.disk.run_lock import own
from tunery.store.inventory import storage_of
from tunery.store.study import StudyStore


def study(root: Path) -> StudyStore:
    return StudyStore(root, Checkpoint(keep_last=2), direction="maximize")


def words(storage: Storage) -> list[tuple[str, str]]:
    """Kind and reason of everything but records."""
    return sorted((item.kind, item.why) for item in storage.items if item.kind != "records")


def test_every_object_has_all_its_reasons_and_is_counted_once(tmp_path: Path) -> None:
    store = study(tmp_path)
    done, running = store.run(trial(tmp_path, 2)), store.run(trial(tmp_path, 10))
    keep_best(done, 10, 0.5, key="shared")
    finish(done, 0.5, written=7_000)
    keep_best(running, 10, 0.4, key="shared")
    save_point(running, 10, key="shared")
    running.write_progress(Progress(written_bytes=500))
    found = store.storage()
    assert words(found) == [
        ("best", "best epoch of trial 2; best epoch of trial 10; resume point of trial 10 at step 10"),
        ("resume", "resume point of trial 10 at step 10"),
        ("resume", "resume point of trial 10 at step 10"),
    ]
    assert found.keep_all_bytes == 7_500
    assert found.bytes == size(tmp_path / "objects") + size(running.resume.root) == store.used()
    assert found.bytes + found.record_bytes == size(tmp_path)
    assert [item.path for item in found.items if item.kind == "records"] == ["trials/2", "trials/10", "."]
    assert [item.bytes for item in found.items] == sorted((item.bytes for item in found.items), reverse=True)


def litter(root: Path) -> list[str]:
    """What crashes leave behind, and beside it what a person has put there."""
    store = study(root)
    done, run = store.run(trial(root, 0)), store.run(trial(root, 1))
    keep_best(done, 10, 0.5, key="best")
    finish(done, 0.5)
    save_point(done, 10, key="late")  # as if the process had died before it cleared them
    save_point(run, 5, key="5")
    save_point(run, 9, key="9")
    (run.resume.root / "step-9.json").write_text("{")
    left = [
        str(place.relative_to(root))
        for place in (
            temporary(root / "objects" / "x.safetensors"),
            temporary(root / "trials" / "1" / "staging") / "model",
            temporary(root / "best") / "model",
            aside(root / "best") / "model",
        )
    ]
    theirs = [
        *(
            "notes.txt",
            "objects/notes.txt",
            "trials/1/resume/notes.txt",
            ".cache/model",
            "best/model",
            "trials/1/staging/x",
        ),
        *(
            "objects/mine.safetensors",
            "trials/1/resume/step-one.json",
            ".vimrc.tmp",
            ".notes.old/x",
            "objects/.x.7.tmp",
        ),
    ]
    for name in [*left, *theirs]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("something")
    return theirs


def test_orphans_are_found_with_their_reasons_and_removed_only_when_asked(tmp_path: Path) -> None:
    theirs = litter(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    nameless = ("orphan", "no record and no resume point refers to it")
    left = ("orphan", "left behind by a process that was stopped")
    found = clean(tmp_path, delete=False)
    assert sorted((item.kind, item.why) for item in found) == sorted(
        [
            *[left] * 4,
            *[nameless] * 4,  # of the finished trial's point, and of the unreadable one
            ("orphan", "resume point of trial 0, not needed: the run is finished"),
            ("orphan", "resume point of trial 1, unreadable"),
        ]
    )
    assert sorted(tmp_path.rglob("*")) == before
    assert clean(tmp_path, delete=True) == found
    assert words(storage_of(tmp_path)) == [
        ("best", "best epoch of trial 0"),
        ("export", "the best model, as other tools load it"),
        *[("resume", "resume point of trial 1 at step 5")] * 3,
    ]
    assert all((tmp_path / name).read_text() == "something" for name in theirs)
    assert clean(tmp_path, delete=True) == ()
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert len(lines) == len(found) and '"event": "removed", "path": ' in lines[0]
    point = study(tmp_path).run(trial(tmp_path, 1)).resume.latest()
    assert point is not None and point.step == 5


def test_an_export_that_was_set_aside_is_put_back_and_not_removed(tmp_path: Path) -> None:
    aside(tmp_path / "best").mkdir()
    (aside(tmp_path / "best") / "model").write_text("the only one")
    assert words(storage_of(tmp_path)) == [("export", "set aside, and put back by the next command")]
    assert clean(tmp_path, delete=True) == ()
    assert (tmp_path / "best" / "model").read_text() == "the only one"


def test_a_comparison_holds_the_runs_of_its_cells(tmp_path: Path) -> None:
    for method in ("full", "lora"):
        cell = study(tmp_path / "cells" / method / "7").run()
        keep_best(cell, 10, 0.5, key=method)
        if method == "lora":
            finish(cell, 0.5, written=100)
        cell.objects.put(weights("nobody's"))
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "model").write_text("best")
    found = storage_of(tmp_path)
    assert words(found) == [
        ("best", "best epoch of full with seed 7"),
        ("best", "best epoch of lora with seed 7"),
        ("export", "the best model, as other tools load it"),
        *[("orphan", "no record and no resume point refers to it")] * 2,
    ]
    assert found.keep_all_bytes == 100 and found.bytes + found.record_bytes == size(tmp_path)
    assert {item.path for item in clean(tmp_path, delete=True)} == {
        f"cells/{method}/7/objects/{path.name}"
        for method in ("full", "lora")
        for path in [cell.objects.path(cell.objects.put(weights("nobody's")).digest)]
    }


def test_runs_that_were_trained_again_count_with_the_study_and_its_database_is_a_record(tmp_path: Path) -> None:
    own(tmp_path)
    store, again = study(tmp_path), study(tmp_path / "rescored")
    done, run = store.run(trial(tmp_path, 0)), again.run(trial(tmp_path / "rescored", 1))
    keep_best(done, 10, 0.5, key="0")
    finish(done, 0.5, written=100)
    save_point(run, 10, key="1")
    run.write_progress(Progress(written_bytes=20))
    store.tidy()
    again.tidy()
    left = [temporary(root / "objects" / "x.safetensors") for root in (tmp_path / "rescored", tmp_path)]
    for path in left:
        path.write_text("half")
    for name in ("study.db", "study.db-wal", "study.db-shm"):
        (tmp_path / name).write_text("records")
    found = storage_of(tmp_path)
    assert words(found) == [
        ("best", "best epoch of trial 0"),
        *[("orphan", "left behind by a process that was stopped")] * 2,
        *[("resume", "resume point of trial 1 with another seed at step 10")] * 3,
    ]
    assert not [item for item in found.items if item.path.endswith(".lock")]
    assert found.keep_all_bytes == 120 and found.bytes + found.record_bytes == size(tmp_path)
    assert store.used() == again.used() == found.bytes
    assert {tmp_path / item.path for item in clean(tmp_path, delete=True)} == set(left)
    assert again.run(trial(tmp_path / "rescored", 1)).resume.latest() is not None


def test_a_folder_is_not_cleaned_while_a_run_is_trained_again(tmp_path: Path) -> None:
    own(tmp_path)
    run = trial(tmp_path / "rescored", 1)
    run.mkdir(parents=True)
    with (
        held(run),
        pytest.raises(FolderError, match=r"rescored/trials/1' is in use by .*; clean it when that has ended"),
    ):
        clean_run(tmp_path, delete=False)
    assert clean_run(tmp_path, delete=False) == ()


def test_an_object_that_is_just_being_referred_to_is_not_cleaned_away(tmp_path: Path) -> None:
    store, cleaned = study(tmp_path), threading.Event()
    cleaner = threading.Thread(target=lambda: (clean(tmp_path, delete=True), cleaned.set()))

    def save() -> None:
        store.objects.put(weights("5"))
        cleaner.start()
        assert not cleaned.wait(0.1)
        save_point(store.run(), 5, key="5")

    store.write(0, save)
    assert cleaned.wait(30)
    cleaner.join()
    assert store.run().resume.latest() is not None
