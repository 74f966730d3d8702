"""Tensors at rest: one object per distinct set of tensors, named by the digest of what it holds.

Imports torch, through `packing`, only where tensors are stored or read, not where objects are listed or removed.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, final

from tunery.store.disk.files import entries, remove_empty, write_bytes
from tunery.store.disk.ownership import LOCK, is_temporary

if TYPE_CHECKING:
    from torch import Tensor

_NAME: Final = re.compile(r"([0-9a-f]{32})\.safetensors")
PER_TENSOR: Final = 512
"""Bytes of name, shape and digests that a tensor brings with it, at most."""


class Stored(NamedTuple):
    """An object: its name, and its bytes on disk."""

    digest: str
    bytes: int


class Encoded(NamedTuple):
    """An object that is ready to be written."""

    digest: str
    parts: tuple[bytes | memoryview, ...]
    """The bytes of the file; none where it is there."""


@dataclass(frozen=True)
class Reference:
    """Pretrained weights, against which trained ones are stored as what differs."""

    digest: str
    """What identifies them, as in `Built.base_digest`."""
    load: Callable[[], Mapping[str, "Tensor"]]
    """Gives them by the names under which the trained ones are stored; it may leave some out."""


def room_for(tensors: Mapping[str, "Tensor"]) -> int:
    """Most bytes that an object of these takes on disk."""
    return sum(tensor.nbytes + PER_TENSOR for tensor in tensors.values()) + PER_TENSOR


def digest_in(name: str) -> str | None:
    """The digest by which a file is called; None where it is no object's name."""
    match = _NAME.fullmatch(name)
    return match[1] if match else None


@final
class Objects:
    """The `objects/` folder of a run or study."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where an object lies."""
        return self.root / f"{digest}.safetensors"

    def put(
        self, tensors: Mapping[str, "Tensor"], *, reference: Reference | None = None, compress: bool = True
    ) -> Stored:
        """Encode and write.

        Raises:
            OSError: when the disk refuses; nothing is left of the attempt.
        """
        return self.write(self.encode(tensors, reference=reference, compress=compress))

    def encode(
        self, tensors: Mapping[str, "Tensor"], *, reference: Reference | None = None, compress: bool = True
    ) -> Encoded:
        """Make ready what `write` stores: each tensor as what differs from its namesake in the reference, if any.

        Of what is there already, and intact, only the name is worked out. Beyond the tensors, this takes about as much
        memory as the object takes on disk.

        Args:
            tensors: of any dtype, on any device; they must not change before they are written.
            reference: the pretrained values; loaded only if something is to be encoded.
            compress: False leaves all tensors as they are, which is quicker.
        """
        from tunery.store.objects.packing import packed

        return packed(tensors, path_of=self.path, reference=reference, compress=compress)

    def write(self, encoded: Encoded) -> Stored:
        """Store what was encoded. What is there already is not written again.

        Raises:
            OSError: when the disk refuses; nothing is left of the attempt.
        """
        path = self.path(encoded.digest)
        if encoded.parts:
            write_bytes(path, *encoded.parts)
        return Stored(encoded.digest, path.stat().st_size)

    def get(self, digest: str, *, reference: Reference | None = None) -> dict[str, "Tensor"]:
        """Read an object back; every tensor is compared with its digest.

        Args:
            digest: the object's name.
            reference: the pretrained values it was stored with; not loaded where they are not needed.

        Raises:
            Damaged: when it is missing, or is not what was stored, or needs another base.
        """
        from tunery.store.objects.packing import unpacked

        return unpacked(self.path(digest), digest, reference=reference)

    def check(self, digest: str) -> None:
        """See that an object is intact on disk; it is not decoded, and no base is needed.

        Raises:
            Damaged: when it is missing, or is not what was stored.
        """
        from tunery.store.objects.packing import checked

        checked(self.path(digest), digest)

    def digests(self) -> set[str]:
        """The names of all objects."""
        names = (entry.name for entry in entries(self.root) if entry.is_file(follow_symlinks=False))
        return {digest for name in names if (digest := digest_in(name)) is not None}

    def half_written(self) -> list[Path]:
        """Temporaries: where no process writes now, what dead ones were writing."""
        return [path for entry in entries(self.root) if is_temporary(path := Path(entry))]

    def remove(self, digest: str) -> int:
        """Remove an object. Returns the bytes freed: 0 if it was not there."""
        if self.root.is_symlink():
            return 0
        path, freed = self.path(digest), 0
        with suppress(FileNotFoundError):
            freed = path.lstat().st_size
            path.unlink()
        return freed

    def clear(self) -> None:
        """Remove all objects, and the folder if nothing else is in it."""
        for digest in self.digests():
            self.remove(digest)
        for path in [path for path in map(Path, entries(self.root)) if path.name == LOCK or is_temporary(path)]:
            path.unlink(missing_ok=True)
        remove_empty(self.root)
