"""The file of an object: safetensors that hold encoded bytes, with a table of contents in the metadata.

Any reader of safetensors can open it. The header follows from the table of contents, which has a digest of its own; so
whatever is damaged in it is found without a look at the bytes behind it.
"""

import json
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from tunery.store.objects.codec import Bytes, shape_of
from tunery.store.objects.digest import digest_of

_LENGTH, _ALIGNMENT = 8, 8
"""Bytes of the number that a safetensors file opens with; what its header is padded to."""
_DAMAGE: Final = (KeyError, TypeError, ValueError, RecursionError)
"""What is raised where a header is read that is none."""


class Entry(BaseModel):
    """One tensor: what it is, and how it lies in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: str
    shape: tuple[int, ...]
    digest: str
    """Of the tensor's bytes."""
    codec: str = "raw"
    payload: str | None = None
    """Digest of the encoded bytes; None where they are the tensor's own."""
    bytes: int
    """Length of the encoded bytes."""

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype itself."""
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    @property
    def rows(self) -> tuple[int, int, int]:
        """Shape of the tensor's rows."""
        return shape_of(self.torch_dtype, self.shape)


class Contents(BaseModel):
    """The tensors of an object, by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    reference: str | None = None
    """What identifies the pretrained weights that are needed to decode it."""
    tensors: dict[str, Entry]

    @cached_property
    def name(self) -> str:
        """Digest of what the tensors are; how they are encoded is not in it."""
        tensors = [[name, entry.dtype, entry.shape, entry.digest] for name, entry in sorted(self.tensors.items())]
        return digest_of(json.dumps(tensors).encode())

    @cached_property
    def offsets(self) -> dict[str, tuple[int, int]]:
        """Begin and end of every tensor's bytes, counted from the end of the header."""
        ends = list(accumulate(entry.bytes for entry in self.tensors.values()))
        return dict(zip(self.tensors, zip([0, *ends], ends, strict=False), strict=True))

    def header(self) -> bytes:
        """What the file begins with."""
        text = json.dumps(self._document(self.model_dump_json(exclude_none=True))).encode()
        text += b" " * (-len(text) % _ALIGNMENT)
        return len(text).to_bytes(_LENGTH, "little") + text

    def _document(self, table: str) -> dict[str, Any]:
        tensors = {
            name: {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}
            for name, (begin, end) in self.offsets.items()
        }
        return {"__metadata__": {"tunery": table, "digest": digest_of(table.encode())}, **tensors}

    @classmethod
    def of(cls, path: Path) -> tuple["Contents", int]:
        """Read the header of a file.

        Returns:
            What the file holds, and where its bytes begin.

        Raises:
            ValueError: when the header is not what was written, or the file is too short or too long for it.
            OSError: when the disk refuses.
        """
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH), "little")
            text = file.read(length) if length <= size else b""
        try:
            document = json.loads(text)
            table = document["__metadata__"]["tunery"]
            contents = cls.model_validate_json(table)
            is_as_written = document == contents._document(table)
        except _DAMAGE as error:
            raise ValueError("its header is damaged") from error
        begin = _LENGTH + length
        if not is_as_written or size != begin + sum(entry.bytes for entry in contents.tensors.values()):
            raise ValueError("its header is damaged, or it is cut off")
        return contents, begin


def read(path: Path, begin: int, size: int) -> Bytes:
    """Some bytes of a file, as many as there are."""
    buffer = np.empty(size, np.uint8)
    with path.open("rb") as file:
        file.seek(begin)
        return buffer[: file.readinto(buffer.data)]
