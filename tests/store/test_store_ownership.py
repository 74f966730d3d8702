"""What tunery may write, remove and follow: its own, and nothing else."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from others_files import KINDS, NAMES, litter, make_outside, put, state
from stored_runs import finish, keep_best, save_point, trial, weights
from tunery.errors import FolderError
from tunery.schema.config.checkpoint import Checkpoint
from tunery.schema.reading.document import validate
from tunery.schema.reading.yaml_text import dump_yaml
from tunery.schema.results.run import Progress
from tunery.store.cleaning import clean_run
from tunery.store.disk.files import write_text
from tunery.store.disk.ownership import (
    FILES,
    FOLDERS,
    LOCK,
    MARK,
    aside,
    is_own,
    is_temporary,
    require_own,
    require_run,
    set_aside_from,
    temporary,
)
from tunery.store.disk.run_lock import own, run_lock
from tunery.store.folder import RunFolder
from tunery.store.inventory import storage_of
from tunery.store.study import StudyStore

CONFIG = validate({"task": {"kind": "classification"}, "data": {"train": "a.csv"}}).model_dump(mode="json")


def test_a_new_an_empty_and_an_own_folder_may_be_worked_in(tmp_path: Path) -> None:
    run = tmp_path / "new" / "run"
    require_own(run)
    assert not run.parent.exists()
    run.mkdir(parents=True)
    require_own(run)
    temporary(run / "probe").write_text("a process died before it could say whose the folder is")
    require_own(run)
    own(run)
    (run / "notes.txt").write_text("theirs")
    require_own(run)
    require_run(run)
    assert "This folder was made by tunery" in (run / MARK).read_text()


@pytest.mark.parametrize("name", [*NAMES, "config.yaml", "result.json", LOCK, "objects", "best"])
@pytest.mark.parametrize("check", [require_own, require_run, lambda folder: clean_run(folder, delete=True)])
def test_a_folder_that_holds_other_files_is_refused_and_left_as_it_is(
    tmp_path: Path, name: str, check: Callable[[Path], object]
) -> None:
    put(tmp_path / "project" / name, "file", outside=tmp_path)
    before = state(tmp_path)
    with pytest.raises(FolderError, match="project"):
        check(tmp_path / "project")
    with pytest.raises(FolderError), run_lock(tmp_path / "project", CONFIG, record="result.json"):
        pass
    assert state(tmp_path) == before


def test_a_project_that_has_a_config_of_its_own_is_none_of_tunerys(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(dump_yaml(CONFIG))
    with pytest.raises(FolderError, match=r"holds other files \('config.yaml'\); choose another --out"):
        require_own(tmp_path)
    (tmp_path / LOCK).write_text('{"lockfileVersion": 3}')
    (tmp_path / "result.json").write_text('{"status": "passed"}')
    assert not is_own(tmp_path)
    for text in ("", "\n", json.dumps({"pid": 7, "started": 1, "host": "h", "since": "?"})):
        (tmp_path / LOCK).write_text(text)
        assert is_own(tmp_path)  # as earlier versions left it: a complete config, and the lock
        (tmp_path / "config.yaml").write_text("task: {kind: classification}\ndata: {train: a.csv}\n")
        assert not is_own(tmp_path)
        (tmp_path / "config.yaml").write_text(dump_yaml(CONFIG))


def test_a_folder_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    with run_lock(tmp_path, CONFIG, record="result.json"):
        finish(RunFolder(tmp_path), 0.5)
    (tmp_path / MARK).unlink()
    (tmp_path / LOCK).unlink()
    require_run(tmp_path)
    own(tmp_path)
    assert (tmp_path / MARK).exists()


def test_a_file_and_a_link_to_nothing_are_no_folders(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(FolderError, match="is no folder; choose another --out"):
        require_own(tmp_path / "file")
    with pytest.raises(FolderError, match="is a link to nothing; choose another --out"):
        require_own(tmp_path / "link")


def test_a_path_that_is_not_utf8_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"must be UTF-8, but '.*run-\\udcff' is not; choose another --out"):
        require_own(tmp_path / "run-\udcff")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name",
    [*FILES, *FOLDERS, "trials/3", "rescored/objects", "rescored/trials/1", "cells/lora/0", "pretrain/0123456789ab"],
)
def test_a_link_where_tunery_writes_is_refused_with_the_remedy(tmp_path: Path, name: str) -> None:
    run, outside = tmp_path / "run", make_outside(tmp_path / "outside")
    own(run)
    (run / name).unlink(missing_ok=True)
    put(run / name, "link to a folder" if "." not in name else "link to a file", outside=outside)
    before = state(outside)
    if name == MARK:
        with pytest.raises(FolderError):
            require_own(run)
        return
    for check in (require_own, require_run, own, lambda folder: clean_run(folder, delete=True)):
        with pytest.raises(FolderError, match=rf"no link is followed, but '.*{name}' is one; put the .* itself there"):
            check(run)
    assert state(outside) == before


def test_the_run_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk" / "runs").mkdir(parents=True)
    (tmp_path / "runs").symlink_to(tmp_path / "disk" / "runs")
    (tmp_path / "disk" / "study").mkdir()
    (tmp_path / "study").symlink_to(tmp_path / "disk" / "study")
    for root in (tmp_path / "runs" / "study", tmp_path / "study"):
        with run_lock(root, CONFIG, record="study.json"):
            store = StudyStore(root, Checkpoint(), direction="maximize")
            keep_best(store.run(trial(root, 0)), 1, 0.5, key="0")
            store.objects.put(weights("nobody's"))
            temporary(root / "study.json").write_text("half")
        assert len(clean_run(root, delete=True)) == 2
        assert {item.kind for item in storage_of(root).items} == {"best", "records"}
        assert store.used() > 1000


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_tunery_writes_as_a_file_must_be_one(tmp_path: Path, kind: str) -> None:
    own(tmp_path / "run")
    put(tmp_path / "run" / "config.yaml", kind, outside=tmp_path)
    with pytest.raises(FolderError, match="must be a file, which tunery writes, but is something else"):
        require_own(tmp_path / "run")


def test_two_studies_never_share_the_objects_of_one(tmp_path: Path) -> None:
    """The second would sweep what only the first one's records name."""
    one, two = tmp_path / "one", tmp_path / "two"
    with run_lock(one, CONFIG, record="study.json"):
        best = keep_best(StudyStore(one, Checkpoint(), direction="maximize").run(trial(one, 0)), 1, 0.5, key="0")
    own(two)
    (two / "objects").symlink_to(one / "objects")
    with pytest.raises(FolderError, match="no link is followed"), run_lock(two, CONFIG, record="study.json"):
        pass
    store = StudyStore(two, Checkpoint(), direction="maximize")
    store.objects.clear()
    assert store.objects.remove(best.digest) == 0 and store.objects.digests() == set()
    RunFolder(one).objects.check(best.digest)


def test_names_of_tunerys_own_are_told_from_those_that_look_alike(tmp_path: Path) -> None:
    for path in (tmp_path / "best", tmp_path / ".lock", tmp_path / "a.b\nc"):
        assert is_temporary(temporary(path)) and set_aside_from(aside(path)) == path
    assert not any(is_temporary(Path(name)) or set_aside_from(Path(name)) for name in NAMES)


PLACES = (
    "",
    "objects",
    "resume",
    "trials",
    "trials/0",
    "trials/1/resume",
    "rescored",
    "cells/lora",
    "cells/lora/0",
    "src",
)
"""Where others' files may lie in a run folder."""


@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(NAMES), st.sampled_from(KINDS)), max_size=8))
def test_whatever_others_have_in_a_run_folder_stays_as_it_is(things: list[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        root, outside = base / "study", make_outside(base / "outside")
        with run_lock(root, CONFIG, record="study.json"):
            store = StudyStore(root, Checkpoint(), direction="maximize")
            done, running, cell = store.run(trial(root, 0)), store.run(trial(root, 1)), RunFolder(root / "cells/lora/0")
            keep_best(done, 1, 0.5, key="0")
            keep_best(running, 1, 0.4, key="1")
            save_point(running, 1, key="1")
            running.write_progress(Progress())
            keep_best(cell, 1, 0.1, key="2")
            save_point(cell, 1, key="3")
            for left in (root, root / "resume", running.resume.root, store.objects.root, root / "rescored"):
                write_text(left / "x", "")
                (left / "x").rename(temporary(left / "x"))
        for place, name, kind in things:
            if not os.path.lexists(root / place / name):
                put(root / place / name, kind, outside=outside)
        theirs = {path: found for path, found in state(base).items() if _is_theirs(path)}
        clean_run(root, delete=True)
        with run_lock(root, CONFIG, record="study.json"):
            store = StudyStore(root, Checkpoint(), direction="maximize")
            store.resume_run(store.run(trial(root, 1)), lambda point: point)
            finish(running, 0.4)
            finish(done, 0.5)
            store.tidy()
            cell.start_over()
            store.conclude()
            store.objects.clear()
        clean_run(root, delete=True)
        storage_of(root).model_dump_json()
        after = state(base)
        assert {path: after.get(path) for path in theirs} == theirs
        mine = {
            path for path in after.keys() - theirs.keys() if is_temporary(base / path) or path.endswith(".safetensors")
        }
        assert not mine


def _is_theirs(path: str) -> bool:
    parts = set(Path(path).parts)
    return path.startswith("outside") or bool(parts & set(NAMES))


def test_a_folder_full_of_others_files_is_refused_whatever_is_asked_of_the_store(tmp_path: Path) -> None:
    project, outside = tmp_path / "project", make_outside(tmp_path / "outside")
    litter(project, outside=outside)
    (project / ".git").mkdir()
    shutil.copy(outside / "file", project / "config.yaml")
    before = state(tmp_path)
    for act in (own, require_run, lambda folder: clean_run(folder, delete=True)):
        with pytest.raises(FolderError):
            act(project)
    assert state(tmp_path) == before
