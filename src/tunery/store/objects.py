"""Weights by content: one object per distinct set of tensors, named by the digest of its bytes."""

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from tunery.errors import RunError
from tunery.store.files import sha256, sync


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
        save_file(dict(sorted(tensors.items())), incoming)
        sync(incoming)
        digest, size = sha256(incoming), incoming.stat().st_size
        incoming.replace(self.path(digest))
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
