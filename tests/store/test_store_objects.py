"""Tensors by content: what is stored comes back, and what is not as it was stored is refused by name."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from fast_and_slow import examples
from faults import FaultyDisk, faulty
from tunery.errors import Damaged
from tunery.store.disk.files import write_bytes
from tunery.store.disk.ownership import temporary
from tunery.store.objects.digest import digest_of
from tunery.store.objects.object_file import Contents
from tunery.store.objects.objects import Objects, Reference, Stored

KINDS = {"raw": (False, False), "planes": (False, True), "delta": (True, True)}
"""Codec -> whether there is a reference, and whether to compress."""


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / "objects")


def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "layer.weight": torch.randn(64, 32, generator=generator) * 0.02,
        "layer.bias": torch.zeros(32, dtype=torch.bfloat16),
        "ümlaut \N{GREEK SMALL LETTER ALPHA}": torch.arange(5),
        "none": torch.zeros(0, 4),
        "one": torch.tensor(float("nan")),
    }


def base() -> Reference:
    return Reference("sha256:base", lambda: {"layer.weight": weights()["layer.weight"] + 1e-4})


def stored(objects: Objects, kind: str) -> tuple[Stored, Reference | None]:
    against, compress = KINDS[kind]
    reference = base() if against else None
    return objects.put(weights(), reference=reference, compress=compress), reference


def codecs(objects: Objects, digest: str) -> dict[str, str]:
    with safe_open(objects.path(digest), framework="pt") as file:
        entries = json.loads(file.metadata()["tunery"])["tensors"]
        assert {file.get_tensor(name).nbytes == entry["bytes"] for name, entry in entries.items()} == {True}
        assert all((entry["codec"] == "raw") == ("payload" not in entry) for entry in entries.values())
        return {name: entry["codec"] for name, entry in entries.items()}


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    def bits(tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
        return {n: (t.dtype, t.shape, t.reshape(-1).view(torch.uint8).tolist()) for n, t in tensors.items()}

    return bits(found) == bits(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stored_comes_back_bit_for_bit(objects: Objects, kind: str) -> None:
    (digest, size), reference = stored(objects, kind)
    assert os.listdir(objects.root) == [f"{digest}.safetensors"] and objects.digests() == {digest}
    assert objects.path(digest).stat().st_size == size
    assert codecs(objects, digest)["layer.weight"] == kind
    objects.check(digest)
    found = objects.get(digest, reference=reference)
    assert same(found, weights())
    found["layer.weight"].mul_(2)  # nothing else looks at what was given out
    assert objects.remove(digest) == size and objects.digests() == set() and objects.remove(digest) == 0


def test_the_name_is_that_of_the_content_whatever_its_encoding_and_order(objects: Objects, tmp_path: Path) -> None:
    names = {stored(Objects(tmp_path / kind), kind)[0].digest for kind in KINDS}
    names |= {objects.put(dict(reversed(weights().items()))).digest}
    assert len(names) == 1
    tensor = torch.arange(6, dtype=torch.int32)
    others = [
        {"a": tensor},
        {"b": tensor},
        {"a": tensor.view(2, 3)},
        {"a": tensor.view(torch.float32)},
        {"a": tensor + 1},
    ]
    assert len({objects.put(tensors).digest for tensors in others}) == 5


def test_equal_content_is_written_once_and_a_damaged_file_anew(objects: Objects) -> None:
    digest = objects.put(weights()).digest
    written = objects.path(digest).stat().st_ino
    assert objects.put(weights()).digest == digest and objects.path(digest).stat().st_ino == written
    flip(objects.path(digest), -3)
    objects.put(weights())
    assert same(objects.get(digest), weights())


def test_an_object_that_needs_a_base_is_written_anew_where_none_is_given(objects: Objects) -> None:
    digest = stored(objects, "delta")[0].digest
    objects.put(weights())
    assert same(objects.get(digest), weights())
    before = objects.path(digest).stat().st_ino
    objects.put(weights(), reference=base())  # it needs none, and that is well
    assert objects.path(digest).stat().st_ino == before


def test_lightly_trained_weights_take_much_less_than_a_copy(objects: Objects) -> None:
    before = {"weight": torch.randn(3000, 64, generator=torch.Generator().manual_seed(0))}
    after = {"weight": before["weight"].clone()}
    after["weight"][:300] += 1e-4
    small = objects.put(after, reference=Reference("base", lambda: before)).bytes
    assert small < 0.08 * after["weight"].nbytes
    objects.remove(next(iter(objects.digests())))
    assert objects.put(after).bytes > 0.7 * after["weight"].nbytes


@pytest.mark.parametrize("change", [lambda t: t[:3], lambda t: t.double()], ids=["shape", "dtype"])
def test_a_base_of_another_kind_is_not_used(objects: Objects, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    reference = Reference("base", lambda: {"layer.weight": change(weights()["layer.weight"])})
    digest = objects.put(weights(), reference=reference).digest
    assert "delta" not in codecs(objects, digest).values()
    assert same(objects.get(digest), weights())


def test_the_base_is_loaded_only_where_something_is_encoded_against_it(objects: Objects) -> None:
    def refuse() -> dict[str, torch.Tensor]:
        raise AssertionError("not needed")

    never = Reference("sha256:base", refuse)
    digest = objects.put(weights(), reference=never, compress=False).digest
    objects.put(weights(), reference=never)
    assert same(objects.get(digest, reference=never), weights())


WRONG_BASES = {
    "none was given": None,
    "sha256:other was given": Reference("sha256:other", dict),
    "what was given has no such 'layer.weight'": Reference("sha256:base", dict),
    "what was given has other values in 'layer.weight'": Reference("sha256:base", weights),
}


@pytest.mark.parametrize("but", WRONG_BASES)
def test_a_wrong_base_is_named(objects: Objects, but: str) -> None:
    digest = stored(objects, "delta")[0].digest
    objects.check(digest)
    expected = f"object {digest[:12]} needs the base it was trained from, sha256:base, but {but}; put the base back"
    with pytest.raises(Damaged, match=expected):
        objects.get(digest, reference=WRONG_BASES[but])


def flip(path: Path, place: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


@pytest.mark.parametrize("kind", KINDS)
@settings(examples(1.5), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_is_found_wherever_it_is(tmp_path: Path, kind: str, place: float, bit: int) -> None:
    objects = Objects(tmp_path / kind)
    (digest, size), reference = stored(objects, kind)
    flip(objects.path(digest), int(place * size), bit)
    for look in (objects.check, lambda name: objects.get(name, reference=reference)):
        with pytest.raises(Damaged, match=f"object {digest[:12]} .*remove {objects.path(digest)}, and the run goes on"):
            look(digest)


def test_the_damaged_tensor_is_named(objects: Objects) -> None:
    digest = objects.put({"a": torch.zeros(4), "b": torch.ones(4)}, compress=False).digest
    flip(objects.path(digest), -1)
    for look in (objects.check, objects.get):
        with pytest.raises(Damaged, match=f"tensor 'b' of object {digest[:12]} must be .*, but its digest is another"):
            look(digest)


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda content: b"", "its header is damaged"),
    "cut in the header": (lambda content: content[:100], "its header is damaged"),
    "cut": (lambda content: content[:-1], "its header is damaged, or it is cut off"),
    "longer": (lambda content: content + b"\0", "its header is damaged, or it is cut off"),
    "no safetensors": (lambda content: b"\x80\x02}q\x00." * 50, "its header is damaged"),
    "no object": (lambda content: (2).to_bytes(8, "little") + b"{}", "its header is damaged"),
    "a list": (lambda content: (2).to_bytes(8, "little") + b"[]", "its header is damaged"),
    "deep": (lambda content: (10**5).to_bytes(8, "little") + b"[" * 10**5, "its header is damaged"),
    "zeros": (lambda content: bytes(len(content)), "its header is damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_no_object_is_damaged(objects: Objects, damage: str) -> None:
    digest = objects.put(weights()).digest
    change, message = DAMAGES[damage]
    path = objects.path(digest)
    path.write_bytes(change(path.read_bytes()))
    for look in (objects.check, objects.get):
        with pytest.raises(Damaged, match=f"object {digest[:12]} must be what was stored, but {message}"):
            look(digest)


def test_another_object_in_its_place_is_damaged_and_so_is_none(objects: Objects) -> None:
    one, other = objects.put({"a": torch.zeros(2)}).digest, objects.put({"a": torch.ones(2)}).digest
    objects.path(other).replace(objects.path(one))
    with pytest.raises(Damaged, match=f"object {one[:12]} must be .*, but it holds another one, {other[:12]}"):
        objects.get(one)
    with pytest.raises(Damaged, match=f"object {other[:12]} must be .* No such file"):
        objects.check(other)


def test_bytes_that_decode_to_another_tensor_are_found(objects: Objects) -> None:
    path = objects.path(objects.put({"a": torch.zeros(400)}).digest)
    contents, begin = Contents.of(path)
    entry = contents.tensors["a"]
    assert entry.codec == "planes"
    of_ones = Contents(tensors={"a": entry.model_copy(update={"digest": digest_of(torch.ones(400).numpy().data)})})
    write_bytes(objects.path(of_ones.name), of_ones.header(), path.read_bytes()[begin:])
    objects.check(of_ones.name)
    with pytest.raises(Damaged, match="tensor 'a' of object .* must be .*, but its digest is another"):
        objects.get(of_ones.name)


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), MemoryError(), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["encode", "create", "write", "fsync", "replace"])
def test_whatever_ends_a_write_leaves_nothing(objects: Objects, failure: BaseException, where: str) -> None:
    objects.root.mkdir()

    def fail(*_: object) -> Any:
        raise failure

    def fail_before(disk: FaultyDisk) -> None:
        if disk.log[-1].startswith(where):
            fail()

    reference = Reference("sha256:base", fail) if where == "encode" else None
    with faulty(FaultyDisk(objects.root, before=fail_before)), pytest.raises(type(failure)):
        objects.put(weights(), reference=reference)
    assert os.listdir(objects.root) == []


def test_a_temporary_is_no_object(objects: Objects) -> None:
    objects.root.mkdir()
    temporary(objects.root / f"{'0' * 32}.safetensors").touch()
    (objects.root / "mine.safetensors").touch()
    (objects.root / f"{'0' * 32}.safetensors").symlink_to("mine.safetensors")
    assert objects.digests() == set() and len(objects.half_written()) == 1
    objects.clear()
    assert sorted(os.listdir(objects.root)) == [f"{'0' * 32}.safetensors", "mine.safetensors"]
