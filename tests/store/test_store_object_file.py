"""The file of an object."""

import json
from pathlib import Path

import pytest

from tunery.store.disk.files import write_bytes
from tunery.store.objects.object_file import Contents, Entry, read

ENTRIES = {
    "b": Entry(dtype="float32", shape=(3,), digest="1" * 32, bytes=12),
    "a": Entry(dtype="bfloat16", shape=(5, 2), digest="2" * 32, codec="planes", payload="3" * 32, bytes=7),
}


def test_a_header_says_what_the_file_holds_and_where(tmp_path: Path) -> None:
    contents = Contents(version=1, tensors=ENTRIES, reference="base")
    write_bytes(tmp_path / "file", contents.header(), b"b" * 12, b"a" * 7)
    found, begin = Contents.of(tmp_path / "file")
    assert found == contents and list(found.tensors) == ["b", "a"] and begin % 8 == 0
    assert found.offsets == {"b": (0, 12), "a": (12, 19)}
    assert read(tmp_path / "file", begin + 12, 7).tobytes() == b"a" * 7
    assert read(tmp_path / "file", begin + 12, 100).tobytes() == b"a" * 7


def test_the_name_does_not_depend_on_the_order_or_the_encoding() -> None:
    name = Contents(version=1, tensors=ENTRIES).name
    assert name == Contents(version=1, tensors=dict(reversed(ENTRIES.items())), reference="base").name
    encoded = ENTRIES["b"].model_copy(update={"codec": "planes", "payload": "4" * 32, "bytes": 5})
    assert name == Contents(version=1, tensors={**ENTRIES, "b": encoded}).name


@pytest.mark.parametrize("old, new", [("planes", "delta"), ("base", "sabe"), ("3" * 32, "5" * 32), ('"U8"', '"I8"')])
def test_a_changed_header_is_found_though_it_can_be_read(tmp_path: Path, old: str, new: str) -> None:
    header = Contents(version=1, tensors=ENTRIES, reference="base").header()
    changed = header[8:].decode().replace(old, new).encode()
    assert json.loads(changed) and changed != header[8:]
    write_bytes(tmp_path / "file", len(changed).to_bytes(8, "little"), changed, b"b" * 12, b"a" * 7)
    with pytest.raises(ValueError, match="its header is damaged"):
        Contents.of(tmp_path / "file")


def test_a_file_of_a_later_version_is_not_read_as_one_of_this(tmp_path: Path) -> None:
    header = Contents.model_construct(version=2, tensors=ENTRIES).header()
    write_bytes(tmp_path / "file", header, b"b" * 12, b"a" * 7)
    with pytest.raises(ValueError, match="its header is damaged"):
        Contents.of(tmp_path / "file")
