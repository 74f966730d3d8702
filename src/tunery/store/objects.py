"""Weights by content: one object per distinct set of tensors, named by the digest of its bytes."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from tunery.errors import RunError
from tunery.store.files import sha256, sync


@contextmanager
def naming_the_disk(path: Path) -> Iterator[None]:
    """Raise `OSError` where safetensors or tokenizers fail to write: their own errors hide that it was the disk."""
    try:
        yield
    except Exception as error:
        if "os error" not in str(error):
            raise
        raise OSError(f"{path} could not be written: {error}") from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors as safetensors.

    Raises:
        OSError: when the disk refuses.
    """
    with naming_the_disk(path):
        save_file(dict(sorted(tensors.items())), path)


class Objects:
    """The `objects/` folder of a run or study."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where an object lies."""
        return self.root / f"{digest}.safetensors"

    def put(self, tensors: Mapping[str, Tensor]) -> tuple[str, int]:
        """Store named tensors; equal content is stored once. Returns digest and size in bytes."""
        self.root.mkdir(parents=True, exist_ok=True)
        incoming = self.root / f".incoming.{os.getpid()}"
        try:
            write_tensors(incoming, tensors)
            sync(incoming)
            digest, size = sha256(incoming), incoming.stat().st_size
            incoming.replace(self.path(digest))
        finally:
            incoming.unlink(missing_ok=True)
        sync(self.root)
        return digest, size

    def get(self, digest: str) -> dict[str, Tensor]:
        """Read an object back.

        Raises:
            RunError: when its bytes no longer have the digest in its name.
        """
        path = self.path(digest)
        if not path.exists() or sha256(path) != digest:
            raise RunError(f"weights object {digest[:12]} is missing or damaged: {path}")
        return load_file(path)

    def adopt(self, other: "Objects", digest: str) -> None:
        """Take an object over from another folder of the same file system."""
        if other.path(digest).exists():
            self.root.mkdir(parents=True, exist_ok=True)
            other.path(digest).replace(self.path(digest))
            sync(self.root)

    def keep_only(self, digests: set[str]) -> None:
        """Remove every other object."""
        for path in self.root.glob("*.safetensors"):
            if path.stem not in digests:
                path.unlink()
