"""Records come back whole, or the error says which file is wrong, and where."""

from pathlib import Path

import pytest

from tunery.errors import FolderError
from tunery.schema.results.run import Progress
from tunery.store.folder import RunFolder
from tunery.store.records import read_record


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "Invalid JSON: EOF while parsing a value at line 1 column 0"),
        (b'{"epochs": 1', "Invalid JSON: EOF while parsing an object at line 1 column 12"),
        (b"[" * 100_000, "Invalid JSON: recursion limit exceeded"),
        (b"[]", "Input should be an object"),
        (b'{"tokens": {"real": -1}}', "tokens.real: Input should be greater than or equal to 0"),
        (b'{"written_bytes": ' + b"9" * 5000 + b"}", "Invalid JSON: number out of range at line 1 column 4320"),
        (b'{"written_bytes": ' + b"9" * 50 + b"}", "written_bytes: Input should be less than 9223372036854775808"),
        (b'{"unheard of": 1}', "unheard of: Extra inputs are not permitted"),
        (b'{"base": "\xff"}', "Invalid JSON: invalid unicode code point"),
    ],
)
def test_what_was_not_written_is_refused_with_file_and_place(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "progress.json"
    path.write_bytes(content)
    with pytest.raises(FolderError) as error:
        read_record(path, Progress)
    assert str(error.value).startswith(f"{str(path)!r} is not what was written there: {fault}")
    assert str(error.value).endswith("; put it back from a copy, or take another folder")


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path / "progress.json", Progress) is None
    (tmp_path / "file").touch()
    assert read_record(tmp_path / "file" / "progress.json", Progress) is None


def test_a_folder_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "checkpoints.json").mkdir()
    with pytest.raises(FolderError, match="checkpoints.json' cannot be read: Is a directory"):
        RunFolder(tmp_path).kept()
