"""What a frozen model gives of rows, kept by the digest of all that it depends on.

It is a cache: whatever is missing or damaged is computed again, nothing is removed or waited for to make room for it,
and it is the first to go where room is needed.
"""

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from tunery.store.disk.files import entries, remove_empty, size, size_of, write_in_parts
from tunery.store.disk.ownership import FEATURES, is_temporary
from tunery.store.events import record_event
from tunery.store.objects.digest import Digest
from tunery.store.objects.objects import PER_TENSOR, digest_in

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Shape = tuple[int, int]
"""(features, numbers of each)"""

_NAME: Final = "features"
"""Of the only tensor in a file."""
_CHUNK: Final = 2**24
"""Bytes that are read at once."""


def bytes_of(shape: Shape) -> int:
    """Bytes of features in float32."""
    return 4 * prod(shape)


def features_room(shape: Shape) -> int:
    """Most bytes that these take on disk."""
    return bytes_of(shape) + 2 * PER_TENSOR


@final
class FeatureFile:
    """Features on disk, a few of which are read at a time. The file is open only meanwhile: where it is removed, its
    room is free at once."""

    def __init__(self, path: Path, *, begin: int, shape: Shape) -> None:
        """Args:
        begin: of the numbers within the file, in bytes.
        """
        self.shape = shape
        self._path = path
        self._begin = begin

    def read(self, firsts: Sequence[int], into: "Sequence[npt.NDArray[np.float32]]") -> None:
        """Read features that follow one another into each of some arrays: (features, numbers of each), C-contiguous.

        Args:
            firsts: number of the first feature of each.

        Raises:
            OSError: the file has been removed, or cut off.
        """
        width = bytes_of((1, self.shape[1]))
        with self._path.open("rb", buffering=0) as file:
            for first, array in zip(firsts, into, strict=True):
                file.seek(self._begin + first * width)
                rest = array.data.cast("B")
                while rest:
                    if not (count := file.readinto(rest)):
                        raise OSError(errno.EIO, "cut off", str(self._path))
                    rest = rest[count:]

    def all(self) -> "npt.NDArray[np.float32]":
        """All of them. Raises `OSError` as `read` does."""
        import numpy as np

        features = np.empty(self.shape, np.float32)
        self.read([0], [features])
        return features


@final
class Features:
    """The `features/` folder of a run, study or comparison. Any number of processes may read, write and clear it at
    once: a file is written whole, and who does not find it does without."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder = root / FEATURES

    def path(self, key: str) -> Path:
        """Where the features of a key lie."""
        return self._folder / f"{key}.safetensors"

    def find(self, key: str) -> FeatureFile | None:
        """What was kept under a key, compared with its digest; None where there is none, or it is damaged."""
        from tunery.store.objects.object_file import Contents  # imports torch

        path = self.path(key)
        try:
            contents, begin = Contents.of(path)
            entry = contents.tensors[_NAME]
            rows, width = entry.shape
            found = FeatureFile(path, begin=begin, shape=(rows, width))
            return found if _digest(path, begin) == entry.digest else None
        except (OSError, ValueError, KeyError):
            return None

    @contextmanager
    def writing(self, key: str, shape: Shape) -> "Iterator[Callable[[npt.NDArray[np.float32]], None]]":
        """Keep features under a key in place of what is there: yields what takes the next of them, C-contiguous. They
        are kept when the block ends well.

        Args:
            key: 32 hexadecimal digits.

        Raises:
            OSError: when the disk refuses, or another process clears the folder just then.
        """
        digest = Digest()
        place = begin = len(_header(shape, digest.text()))
        with write_in_parts(self.path(key), begin + bytes_of(shape)) as write_part:

            def write(features: "npt.NDArray[np.float32]") -> None:
                nonlocal place
                digest.update(features)
                write_part(features.data, place)
                place += features.nbytes

            yield write
            write_part(memoryview(_header(shape, digest.text())), 0)

    def used(self) -> int:
        """Bytes of what lies there now."""
        return size(self._folder)

    def clear(self, *, why: str = "nobody needs it any more") -> int:
        """Remove all features, and the folder if nothing else is in it. Returns the bytes freed."""
        freed = 0
        for entry in entries(self._folder):
            path = Path(entry)
            if is_temporary(path) or digest_in(entry.name) is not None:
                removed = size_of(entry)
                path.unlink(missing_ok=True)
                record_event(self.root, "removed", why=why, path=path, size=removed)
                freed += removed
        try:
            remove_empty(self._folder)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:  # another process has just written there
                raise
        return freed


def _header(shape: Shape, digest: str) -> bytes:
    """Of a file of features: as long, whatever the digest."""
    from tunery.store.objects.object_file import Contents, Entry

    entry = Entry(dtype="float32", shape=shape, digest=digest, bytes=bytes_of(shape))
    return Contents(tensors={_NAME: entry}).header()


def _digest(path: Path, begin: int) -> str:
    """Of all that comes in a file from a place on."""
    digest = Digest()
    with path.open("rb", buffering=0) as file:
        file.seek(begin)
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.text()
