"""How the values of one tensor become bytes and come back, bit for bit. `CODECS` lists the ways.

A tensor is seen as `Rows`: (rows, values in a row, bytes of a value). Rows run along the first axis; those of a vector
are its elements. Trained weights differ from the pretrained ones in the lower bytes of every value, and rows of tokens
that no text had do not differ at all; hence `delta`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from zstandard import ZstdCompressionParameters, ZstdCompressor, ZstdDecompressor, frame_content_size

Rows = NDArray[np.uint8]
Bytes = NDArray[np.uint8]
"""One axis."""

_ZSTD: Final = ZstdCompressionParameters.from_level(1, min_match=7, hash_log=6, window_log=17)
"""Hardly a search for repetitions: byte planes have none but runs. Smaller than level 3, and four times as fast."""


@dataclass(frozen=True)
class Codec:
    """One way, and the way back. The pretrained values are asked for by `against` only, and are of the same shape."""

    encode: Callable[[Rows, Rows | None], Bytes]
    decode: Callable[[Bytes, tuple[int, int, int], Rows | None], Rows]
    """Takes the shape of the rows. What is not an encoding for that shape is a `ValueError` or `ZstdError`, or becomes
    other rows: the caller compares digests."""
    against: bool = False


def shape_of(dtype: torch.dtype, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Of the rows of such a tensor."""
    numbers = prod(shape)
    rows = shape[0] if len(shape) > 1 else numbers
    return rows, numbers // rows if rows else 0, dtype.itemsize


def rows_of(tensor: Tensor) -> Rows:
    """The bytes of a tensor, shared with it where it is contiguous and on the CPU."""
    flat: Bytes = tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy()
    return flat.reshape(shape_of(tensor.dtype, tuple(tensor.shape)))


def tensor_of(rows: Rows, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """The tensor with these bytes, shared with them."""
    return torch.from_numpy(rows.reshape(-1)).view(dtype).reshape(shape)


def _delta(rows: Rows, base: Rows | None) -> Bytes:
    """A bit per row that says whether it differs, then the planes of what differs in those that do."""
    differences = rows ^ _required(base)
    differ = differences.any(axis=(1, 2))
    mask = np.packbits(differ)
    whole = _split(differences if differ.all() else differences[differ], room=mask.size)
    whole[: mask.size] = mask
    return _compressed(whole)


def _from_delta(payload: Bytes, shape: tuple[int, int, int], base: Rows | None) -> Rows:
    count, values, item = shape
    room = (count + 7) // 8
    whole = _decompressed(payload, limit=room + prod(shape))
    differ = np.unpackbits(whole[:room], count=count).astype(bool)
    differences = _joined(whole[room:], (int(differ.sum()), values, item))
    if differ.all():
        return np.bitwise_xor(differences, _required(base), out=differences)
    rows = _required(base).copy()
    rows[differ] ^= differences
    return rows


CODECS: Final = {
    "raw": Codec(lambda rows, base: rows.reshape(-1), lambda payload, shape, base: payload.reshape(shape)),
    "planes": Codec(
        lambda rows, base: _compressed(_split(rows, room=0)),
        lambda payload, shape, base: _joined(_decompressed(payload, limit=prod(shape)), shape),
    ),
    "delta": Codec(_delta, _from_delta, against=True),
}
"""`raw`: as they are. `planes`: all first bytes, then all second ones, ...; then zstd. `delta`: XOR against the
pretrained values, rows without a difference left out, then the same."""


def encode(rows: Rows, base: Rows | None, *, codec: str) -> tuple[str, Bytes]:
    """Encode with a codec of the table, or leave the bytes as they are where that takes no more room.

    Returns:
        The codec that was used, and the bytes.
    """
    encoded = CODECS[codec].encode(rows, base)
    return (codec, encoded) if encoded.size < rows.size else ("raw", rows.reshape(-1))


def _split(rows: Rows, *, room: int) -> Bytes:
    """Byte planes, behind some room."""
    whole = np.empty(room + rows.size, np.uint8)
    values = rows.reshape(-1, rows.shape[2])
    for position, plane in enumerate(whole[room:].reshape(rows.shape[2], -1)):
        plane[:] = values[:, position]
    return whole


def _joined(planes: Bytes, shape: tuple[int, int, int]) -> Rows:
    rows = np.empty(shape, np.uint8)
    values = rows.reshape(-1, shape[2])
    for position, plane in enumerate(planes.reshape(shape[2], shape[0] * shape[1])):
        values[:, position] = plane
    return rows


def _compressed(content: Bytes) -> Bytes:
    return np.frombuffer(ZstdCompressor(compression_params=_ZSTD).compress(content.data), np.uint8)


def _decompressed(payload: Bytes, *, limit: int) -> Bytes:
    """At most `limit` bytes: a wrong length must not take the memory."""
    if (size := frame_content_size(payload.data)) > limit:
        raise ValueError(f"at most {limit} bytes were encoded, but {size} would come back")
    return np.frombuffer(ZstdDecompressor().decompress(payload.data), np.uint8)


def _required(base: Rows | None) -> Rows:
    if base is None:
        raise ValueError("a delta cannot do without the pretrained values")
    return base
