"""What a frozen model gives of rows, kept by the digest of all that it depends on.

It is a cache: whatever is missing or damaged is computed again, nothing is removed or waited for to make room for it,
and it is the first to go where room is needed.
"""

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from tunery.store.disk.files import entries, remove_empty, size, size_of, write_bytes
from tunery.store.disk.ownership import FEATURES, is_temporary
from tunery.store.events import record_event
from tunery.store.objects.digest import digest_of
from tunery.store.objects.objects import PER_TENSOR, digest_in

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_NAME: Final = "features"
"""Of the only tensor in a file."""


def features_room(features: "npt.NDArray[np.float32]") -> int:
    """Most bytes that these take on disk."""
    return features.nbytes + 2 * PER_TENSOR


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

    def get(self, key: str) -> "npt.NDArray[np.float32] | None":
        """What was kept under a key, compared with its digest; None where there is none, or it is damaged."""
        from tunery.store.objects.object_file import Contents, read  # imports torch

        path = self.path(key)
        try:
            contents, begin = Contents.of(path)
            entry = contents.tensors[_NAME]
            content = read(path, begin, entry.bytes)
            return content.view("float32").reshape(entry.shape) if digest_of(content.data) == entry.digest else None
        except (OSError, ValueError, KeyError):
            return None

    def put(self, key: str, features: "npt.NDArray[np.float32]") -> None:
        """Keep features under a key in place of what is there.

        Args:
            key: 32 hexadecimal digits.
            features: C-contiguous.

        Raises:
            OSError: when the disk refuses, or another process clears the folder just then.
        """
        from tunery.store.objects.object_file import Contents, Entry

        content = features.data.cast("B")
        entry = Entry(dtype="float32", shape=features.shape, digest=digest_of(content), bytes=content.nbytes)
        write_bytes(self.path(key), Contents(tensors={_NAME: entry}).header(), content)

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
