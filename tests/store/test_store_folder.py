"""The run folder: one config, one process, one marker of being finished."""

import multiprocessing
from pathlib import Path

import pytest

from tunery.errors import FolderError
from tunery.schema.results.run import CheckpointRecord, Progress
from tunery.store.disk.run_lock import own, refuse_other, run_lock
from tunery.store.folder import RunFolder
from tunery.store.resume import Point

DOCUMENT = {"task": {"kind": "classification"}, "optim": {"lr": 1e-3}, "search": {"n_trials": 5}}


def test_another_config_is_refused_and_named(tmp_path: Path) -> None:
    with run_lock(tmp_path, DOCUMENT, record="result.json"):
        pass
    refuse_other(tmp_path, DOCUMENT, record="result.json")
    with pytest.raises(FolderError, match=r"another config \(optim.lr: 0.001 there, 0.002 now\); choose another --out"):
        refuse_other(tmp_path, {**DOCUMENT, "optim": {"lr": 2e-3}}, record="result.json")


def test_the_number_of_trials_may_change(tmp_path: Path) -> None:
    with run_lock(tmp_path, DOCUMENT, record="result.json"):
        pass
    with run_lock(tmp_path, {**DOCUMENT, "search": {"n_trials": 9}}, record="result.json"):
        assert "n_trials: 9" in (tmp_path / "config.yaml").read_text()


def hold(path: Path, ready: "multiprocessing.synchronize.Event", leave: "multiprocessing.synchronize.Event") -> None:
    with run_lock(path, DOCUMENT, record="result.json"):
        ready.set()
        leave.wait(30)


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, leave = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(tmp_path, ready, leave))
    holder.start()
    ready.wait(30)
    with (
        pytest.raises(FolderError, match=f"in use by process {holder.pid}"),
        run_lock(tmp_path, DOCUMENT, record="result.json"),
    ):
        pass
    holder.kill()
    holder.join()
    with run_lock(tmp_path, DOCUMENT, record="result.json"):
        pass


def test_kept_epochs_are_read_back_and_the_best_is_among_them_or_is_gone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.kept() == () and folder.best() is None
    one, two = (
        CheckpointRecord(kind=kind, step=step, epoch=step, digest="d", bytes=1, value=0.5, metrics={"f1": [step]})
        for kind, step in (("best", 1), ("co_best", 2))
    )
    folder.write_kept((one, two))
    assert RunFolder(tmp_path).kept() == (one, two) and folder.best() == one
    folder.write_kept((two,))
    assert folder.best() is None


def test_a_folder_is_closed_when_nothing_is_left_of_the_work(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_progress(Progress(epochs=1.0))
    folder.resume.publish(Point(step=1, documents={}, objects={}, kept=()))
    folder.staging.mkdir()
    assert not folder.is_closed()
    folder.close()
    assert folder.is_closed() and list(tmp_path.iterdir()) == []


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    own(tmp_path)
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(
        FolderError, match="a run needs a folder of its own, but .* holds a study; choose another --out"
    ):
        refuse_other(tmp_path, DOCUMENT, record="result.json")
    refuse_other(tmp_path, DOCUMENT, record="study.json")


def test_what_another_process_staged_goes_when_the_run_is_closed(tmp_path: Path) -> None:
    """A trial's process makes the folder; when it has failed, the study writes the result and closes the run."""
    RunFolder(tmp_path).staging.mkdir()
    RunFolder(tmp_path).close()
    assert list(tmp_path.iterdir()) == []
