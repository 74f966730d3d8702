"""Files and folders are changed whole or not at all, whatever the disk refuses and whenever the process dies."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from faults import ERRNOS, FaultyDisk, faulty
from tunery.errors import FolderError
from tunery.store.files import (
    LOCK,
    entries,
    is_temporary,
    make_folder,
    recover,
    remove,
    remove_tree,
    replace_folder,
    require_writable,
    size,
    size_of,
    sync,
    temporary,
    write,
    write_bytes,
    write_text,
    written_whole,
)

OLD, NEW = {"weights": "old", "deep/card": "old"}, {"weights": "new", "deep/card": "new", "more": "new"}


def fill(folder: Path, content: dict[str, str]) -> Path:
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(folder / name, text.encode())
    return folder


def content(folder: Path) -> dict[str, str] | None:
    if not folder.exists():
        return None
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "record.json"
    write_text(target, "old")
    with pytest.raises(RuntimeError), written_whole(target) as staged:
        staged.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]


def test_parts_are_written_one_after_another(tmp_path: Path) -> None:
    write_bytes(tmp_path / "deep" / "file", b"ab", memoryview(b"cd"), memoryview(bytearray(8)).cast("d"), b"")
    assert (tmp_path / "deep" / "file").read_bytes() == b"abcd" + bytes(8)


def test_size_counts_files_at_any_depth(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c", "12345")
    assert size(tmp_path) == 5
    assert size(tmp_path / "nowhere") == 0


def test_a_folder_that_cannot_be_made_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="must be writable, but .*file/run.*choose another --out"):
        require_writable(tmp_path / "file" / "run")


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_an_error_names_the_file(tmp_path: Path, call: str) -> None:
    def act() -> None:
        write(tmp_path / "file", b"ab")
        sync(tmp_path / "file")

    place = {"write": 1, "fsync": 2}[call]
    with faulty(FaultyDisk(tmp_path, refuse=place)) as disk, pytest.raises(OSError, match=f"{tmp_path}/file") as caught:
        act()
    assert disk.log[-1] == f"{call} file" and caught.value.errno == errno.EIO


def test_folders_that_cannot_be_synced_need_not_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def replace(run: Path) -> None:
    replace_folder(fill(temporary(run / "best"), NEW), run / "best")


def remove_it(run: Path) -> None:
    remove_tree(run / "best")


def add(run: Path) -> None:
    write_text(run / "best" / "deeper" / "more", "new")


CHANGES: dict[Callable[[Path], None], dict[str, str] | None] = {
    replace: NEW,
    remove_it: None,
    add: {**OLD, "deeper/more": "new"},
}


@pytest.mark.parametrize("act", CHANGES)
@pytest.mark.parametrize("power", [False, True], ids=["killed", "power lost"])
def test_whoever_dies_leaves_a_folder_as_it_was_or_is_to_be(
    tmp_path: Path, act: Callable[[Path], None], power: bool
) -> None:
    def die(disk: FaultyDisk) -> None:
        disk.crashed(tmp_path / str(len(disk.log)), power=power)

    with faulty(FaultyDisk(fill(tmp_path / "run" / "best", OLD).parent, before=die)) as disk:
        act(disk.root)
        disk.log.append("the end")
        die(disk)
    for number, call in enumerate(disk.log, start=1):
        found = tmp_path / str(number)
        recover(found)
        allowed = [CHANGES[act]] if call == "the end" else [OLD, CHANGES[act]]
        assert content(found / "best") in allowed, call
        assert [path.name for path in found.iterdir()] in (["best"], []), call


@pytest.mark.parametrize("act", CHANGES)
@pytest.mark.parametrize("error", ERRNOS)
def test_whatever_is_refused_leaves_a_folder_as_it_was_or_is_to_be(
    tmp_path: Path, act: Callable[[Path], None], error: int
) -> None:
    with faulty(FaultyDisk(fill(tmp_path / "run" / "best", OLD).parent)) as dry:
        act(dry.root)
    for place, call in enumerate(dry.log):
        run = fill(tmp_path / str(place) / "best", OLD).parent
        with faulty(FaultyDisk(run, refuse=place, error=error)), pytest.raises(OSError, match=str(run)) as caught:
            act(run)
        assert caught.value.errno == error
        assert content(run / "best") in [OLD, CHANGES[act]], call
        if act is not remove:
            act(run)  # in the same process
            assert content(run / "best") == CHANGES[act], call
        recover(run)
        assert content(run / "best") in [OLD, CHANGES[act]], call
        assert [path.name for path in run.iterdir()] in (["best"], []), call


def test_what_could_not_be_removed_is_not_in_the_way(tmp_path: Path) -> None:
    run = fill(tmp_path / "best", OLD).parent
    with faulty(FaultyDisk(run, refuse=2)) as disk, pytest.raises(OSError, match="Input/output error"):
        remove_tree(run / "best")
    assert disk.log[2].startswith("unlink") and not (run / "best").exists()
    remove_tree(fill(run / "best", NEW))
    assert list(run.iterdir()) == []


@pytest.mark.parametrize("there", [True, False])
def test_a_second_replacement_finishes_the_first(tmp_path: Path, there: bool) -> None:
    """It died before or after the second rename, and nobody has called `recover`."""
    fill(tmp_path / ".best.old", OLD)
    if there:
        fill(tmp_path / "best", OLD)
    replace_folder(fill(tmp_path / "staged", NEW), tmp_path / "best")
    assert content(tmp_path) == {f"best/{name}": text for name, text in NEW.items()}


def test_the_old_folder_comes_back_where_the_new_one_cannot_come(tmp_path: Path) -> None:
    fill(tmp_path / "best", OLD)
    fill(tmp_path / "staged", NEW)
    with faulty(FaultyDisk(tmp_path)) as dry:
        replace_folder(tmp_path / "staged", tmp_path / "best")
    second = [place for place, call in enumerate(dry.log) if call.startswith("replace")][1]
    fill(tmp_path / "staged", NEW)
    with faulty(FaultyDisk(tmp_path, refuse=second)), pytest.raises(OSError, match="Input/output error"):
        replace_folder(tmp_path / "staged", tmp_path / "best")
    assert content(tmp_path / "best") == NEW and not (tmp_path / ".best.old").exists()


def test_recovering_leaves_alone_what_another_process_may_hold(tmp_path: Path) -> None:
    mine, trial = tmp_path / "objects", tmp_path / "trials" / "3"
    for folder in (tmp_path, mine, trial, trial / "resume"):
        fill(folder, {temporary(Path("file")).name: "half", "notes.tmp": "a person's", ".hidden": "too"})
    (tmp_path / LOCK).write_text("")
    (trial / LOCK).write_text("")
    recover(tmp_path)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if is_temporary(path)}
    assert names == {f"trials/3/{place}{temporary(Path('file')).name}" for place in ("", "resume/")}
    assert (mine / "notes.tmp").exists() and (mine / ".hidden").exists()


def test_a_folder_that_another_process_removes_first_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "resume", NEW)
    exists = Path.exists

    def gone_since(path: Path) -> bool:
        found = exists(path)
        if path == folder:
            folder.rename(tmp_path / "elsewhere")
        return found

    monkeypatch.setattr(Path, "exists", gone_since)
    remove_tree(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]


def test_what_goes_while_it_is_counted_counts_nothing(tmp_path: Path) -> None:
    fill(tmp_path, {"a": "12345", "b": "123"})
    found = entries(tmp_path)
    (tmp_path / "a").unlink()
    assert [size_of(entry) for entry in found] == [0, 3]
    assert entries(tmp_path / "nowhere") == entries(tmp_path / "b") == []


def test_a_removed_file_is_gone_for_good_and_need_not_be_there(tmp_path: Path) -> None:
    fill(tmp_path, {"a": "1"})
    with faulty(FaultyDisk(tmp_path)) as disk:
        remove(tmp_path / "a")
        remove(tmp_path / "a")
    assert disk.log == ["unlink a", "fsync ."]
