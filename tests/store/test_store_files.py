"""Files are written whole or not at all."""

from pathlib import Path

import pytest

from tunery.errors import FolderError
from tunery.store.files import require_writable, sha256, size, write_text, written_whole


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "record.json"
    write_text(target, "old")
    with pytest.raises(RuntimeError), written_whole(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]


def test_size_counts_files_at_any_depth(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c", "12345")
    assert size(tmp_path) == 5
    assert size(tmp_path / "nowhere") == 0
    assert sha256(tmp_path / "a" / "b" / "c") == "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"


def test_a_folder_that_cannot_be_made_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="must be writable, but .*file/run.*choose another --out"):
        require_writable(tmp_path / "file" / "run")
