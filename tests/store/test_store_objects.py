"""Weights by content."""

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from tunery.errors import RunError
from tunery.store.objects import Objects


def test_equal_tensors_are_one_object_and_come_back_bit_for_bit(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    tensors = {"b": torch.randn(3, 4), "a": torch.randn(2, dtype=torch.bfloat16)}
    first, size = objects.put(tensors)
    second, _ = objects.put(dict(reversed(tensors.items())))
    assert first == second
    assert [path.name for path in tmp_path.iterdir()] == [f"{first}.safetensors"]
    assert objects.path(first).stat().st_size == size
    for name, tensor in objects.get(first).items():
        assert torch.equal(tensor, tensors[name])


def test_one_flipped_byte_is_found(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    digest, size = objects.put({"a": torch.zeros(64)})
    content = bytearray(objects.path(digest).read_bytes())
    content[-1] ^= 1
    objects.path(digest).write_bytes(bytes(content))
    with pytest.raises(RunError, match="missing or damaged"):
        objects.get(digest)


def test_a_disk_that_refuses_is_an_os_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("tunery.store.objects.save_file", full)
    with pytest.raises(OSError, match=r"could not be written: .*No space left on device"):
        Objects(tmp_path).put({"a": torch.zeros(2)})
    assert list(tmp_path.iterdir()) == []
