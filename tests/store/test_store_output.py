"""Files that the user names: nothing is lost by a slip of the pen."""

import os
from pathlib import Path

import pytest

from tunery.errors import OutputError
from tunery.store.output import require_free, write_output


def test_a_file_is_written_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_output(tmp_path / "new" / "a.csv", "täglich\n")
    assert (tmp_path / "new" / "a.csv").read_text(encoding="utf-8") == "täglich\n"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.csv"]


def test_a_file_that_exists_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("mine")
    with pytest.raises(OutputError, match="replaced with --overwrite only"):
        write_output(path, "yours")
    assert path.read_text() == "mine"
    write_output(path, "yours", overwrite=True)
    assert path.read_text() == "yours"


@pytest.mark.parametrize("way", ["same name", "other spelling", "symlink", "hard link"])
def test_the_source_is_never_written_over(tmp_path: Path, way: str) -> None:
    source, target = tmp_path / "a.csv", tmp_path / "b.csv"
    source.write_text("mine")
    if way == "symlink":
        target.symlink_to(source)
    elif way == "hard link":
        os.link(source, target)
    else:
        target = source if way == "same name" else tmp_path / "x" / ".." / "a.csv"
        (tmp_path / "x").mkdir()
    with pytest.raises(OutputError, match="output and input must be two files"):
        write_output(target, "yours", sources=[source], overwrite=True)
    assert source.read_text() == "mine"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    place, link = tmp_path / "elsewhere.csv", tmp_path / "link.csv"
    link.symlink_to(place)
    write_output(link, "one")
    assert link.is_symlink() and place.read_text() == "one"
    with pytest.raises(OutputError, match="exists"):
        write_output(link, "two")
    write_output(link, "two", overwrite=True)
    assert link.is_symlink() and place.read_text() == "two"


def test_a_folder_and_a_place_below_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, message in {tmp_path: "must be a file", tmp_path / "file" / "a.csv": "must be writable"}.items():
        with pytest.raises(OutputError, match=message):
            require_free(path, overwrite=True)


def test_devices_and_pipes_are_written_straight(tmp_path: Path) -> None:
    write_output(Path(os.devnull), "gone")
    assert Path(os.devnull).is_char_device()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_output(pipe, "through")
    assert os.read(reader, 100) == b"through" and pipe.is_fifo()
    os.close(reader)
