"""Files and folders are changed whole or not at all, whatever the disk refuses and whenever the process dies."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from faults import ERRNOS, FaultyDisk, faulty
from tunery.errors import FolderError
from tunery.store.disk.files import (
    atomic_write,
    entries,
    make_folder,
    recover,
    remove,
    remove_tree,
    replace_folder,
    require_writable,
    size,
    size_of,
    sync,
    write,
    write_bytes,
    write_text,
)
from tunery.store.disk.ownership import aside, is_temporary, temporary

OLD, NEW = {"weights": "old", "deep/card": "old"}, {"weights": "new", "deep/card": "new", "more": "new"}


def fill(folder: Path, content: dict[str, str]) -> Path:
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).unlink(missing_ok=True)
        write(folder / name, text.encode())
    return folder


def content(folder: Path) -> dict[str, str] | None:
    if not folder.exists():
        return None
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "record.json"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_write(target) as staged:
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
    write_text(run / "best" / "resume" / "more", "new")


CHANGES: dict[Callable[[Path], None], dict[str, str] | None] = {
    replace: NEW,
    remove_it: None,
    add: {**OLD, "resume/more": "new"},
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
        recover(found / "best")
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
        recover(run / "best")
        assert content(run / "best") in [OLD, CHANGES[act]], call
        assert [path.name for path in run.iterdir()] in (["best"], []), call


def test_what_could_not_be_removed_is_not_in_the_way(tmp_path: Path) -> None:
    run = fill(tmp_path / "best", OLD).parent
    with faulty(FaultyDisk(run, refuse=2)) as disk, pytest.raises(OSError, match="Input/output error"):
        remove_tree(run / "best")
    assert disk.log[2].startswith("unlink") and not (run / "best").exists()
    remove_tree(fill(run / "best", NEW))
    recover(run)
    assert list(run.iterdir()) == []


@pytest.mark.parametrize("there", [True, False])
def test_a_second_replacement_finishes_the_first(tmp_path: Path, there: bool) -> None:
    """It died before or after the second rename, and nobody has called `recover`."""
    fill(aside(tmp_path / "best"), OLD)
    if there:
        fill(tmp_path / "best", OLD)
    replace_folder(fill(tmp_path / "staged", NEW), tmp_path / "best")
    assert content(tmp_path) == {f"best/{name}": text for name, text in NEW.items()}


def test_the_old_folder_comes_back_where_the_new_one_cannot_come(tmp_path: Path) -> None:
    dry, run = tmp_path / "dry", tmp_path / "run"
    for folder in (dry, run):
        fill(folder / "best", OLD)
        fill(folder / "staged", NEW)
    with faulty(FaultyDisk(dry)) as disk:
        replace_folder(dry / "staged", dry / "best")
    second = [place for place, call in enumerate(disk.log) if call.startswith("replace")][1]
    with faulty(FaultyDisk(run, refuse=second)), pytest.raises(OSError, match="Input/output error"):
        replace_folder(run / "staged", run / "best")
    assert content(run / "best") == OLD and not aside(run / "best").exists()


OTHERS = (".vimrc.tmp", ".env.old", "src/.notes.old/deep", "notes.tmp", ".hidden", "objects/.x.tmp", "resume/.y.7.tmp")
"""What a person, or another program, may have in the same folder."""


def test_recovering_touches_what_tunery_left_where_it_left_it_and_nothing_else(tmp_path: Path) -> None:
    mine = ["", "resume", "rescored", "cells/lora"]
    held = ["objects", "trials/3", "trials/3/resume", "cells/lora/0", "src"]
    for place in [*mine, *held]:
        fill(tmp_path / place, {temporary(Path("file")).name: "half"})
    fill(tmp_path, dict.fromkeys(OTHERS, "theirs"))
    recover(tmp_path)
    left = {str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("*") if is_temporary(path)}
    assert left == set(held)
    assert all((tmp_path / name).read_text() == "theirs" for name in OTHERS)


def test_no_link_is_followed_to_what_is_removed_counted_or_listed(tmp_path: Path) -> None:
    elsewhere, run = fill(tmp_path / "elsewhere", OLD), tmp_path / "run"
    run.mkdir()
    links = [run / "best", temporary(run / "best"), aside(run / "best"), run / "resume"]
    for link in links:
        link.symlink_to(elsewhere, target_is_directory=True)
    assert size(run) == size(run / "best") == 0 and entries(run / "resume") == []
    recover(run)
    remove_tree(run / "best")
    assert content(elsewhere) == OLD and [path.name for path in run.iterdir()] == ["resume"]


def test_a_planted_link_under_a_temporary_name_is_not_written_through(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    planted = temporary(tmp_path / "record")
    planted.symlink_to(target)
    with pytest.raises(FileExistsError):
        write(planted, b"other")
    (tmp_path / "record").symlink_to(target)
    write_text(tmp_path / "record", "new")
    assert target.read_text() == "precious" and (tmp_path / "record").read_text() == "new"


def test_two_temporaries_of_one_file_have_two_names(tmp_path: Path) -> None:
    names = {temporary(tmp_path / ("x" * 250)).name for _ in range(20)}
    assert len(names) == 20 and all(len(name) < 80 for name in names)


@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_a_folder_that_comes_in_place_has_the_mode_of_new_files(tmp_path: Path, umask: int) -> None:
    staged = fill(tmp_path / "staged", NEW)
    (staged / "weights").chmod(0o600)
    before = os.umask(umask)
    try:
        replace_folder(staged, tmp_path / "best")
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "best").rglob("*") if path.is_file()}
    assert modes == {0o666 & ~umask} and content(tmp_path / "best") == NEW


def test_a_folder_that_another_process_removes_first_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "resume", NEW)
    exists = os.path.lexists

    def gone_since(path: Path) -> bool:
        found = exists(path)
        if path == folder:
            folder.rename(tmp_path / "elsewhere")
        return found

    monkeypatch.setattr(os.path, "lexists", gone_since)
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
