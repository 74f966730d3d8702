"""Tensors become the bytes of an object, and come back; the digest of each is compared when it is read."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from torch import Tensor
from zstandard import ZstdError

from tunery.errors import Damaged
from tunery.store.objects.codec import CODECS, Bytes, Rows, encode, rows_of, tensor_of
from tunery.store.objects.digest import digest_of
from tunery.store.objects.object_file import Contents, Entry, read
from tunery.store.objects.objects import Encoded, Reference

T = TypeVar("T")
_THREADS: Final = min(4, os.cpu_count() or 1)
"""Hashing, compressing and copying let go of the interpreter."""


def packed(
    tensors: Mapping[str, Tensor],
    *,
    path_of: Callable[[str], Path],
    reference: Reference | None = None,
    compress: bool = True,
) -> Encoded:
    """What `Objects.encode` gives.

    Args:
        path_of: where the object of a digest lies, if it is there.
    """
    largest_first = sorted(tensors, key=lambda name: (-tensors[name].nbytes, name))  # so that no thread waits long
    rows = {name: rows_of(tensors[name]) for name in largest_first}
    digests = _all({name: partial(digest_of, rows[name].data) for name in rows})
    entries = {
        name: Entry(
            dtype=str(tensors[name].dtype).removeprefix("torch."),
            shape=tuple(tensors[name].shape),
            digest=digests[name],
            bytes=rows[name].size,
        )
        for name in rows
    }
    digest = Contents(version=1, tensors=entries).name
    if _is_stored(path_of(digest), digest, reference):
        return Encoded(digest, ())
    base = reference.load() if reference and compress else {}
    jobs = {name: partial(_encoded, entries[name], rows[name], base.get(name), compress) for name in rows}
    encoded = _all(jobs)
    final = {name: entry for name, (entry, _) in encoded.items()}
    is_needed = any(CODECS[entry.codec].against for entry in final.values())
    contents = Contents(version=1, tensors=final, reference=reference.digest if reference and is_needed else None)
    return Encoded(digest, (contents.header(), *(payload.data for _, payload in encoded.values())))


def unpacked(path: Path, digest: str, *, reference: Reference | None = None) -> dict[str, Tensor]:
    """What `Objects.get` gives."""
    with _or_damaged(path):
        contents, begin = _opened(path, digest)
    base = _base(path, contents, reference)
    jobs = {name: partial(_restored, path, name, contents, begin, base.get(name)) for name in contents.tensors}
    return _all(jobs)


def checked(path: Path, digest: str) -> Contents:
    """What is in an object that was found to be intact.

    Raises:
        Damaged: when it is missing, or is not what was stored.
    """
    with _or_damaged(path):
        contents, begin = _opened(path, digest)
    _all({name: partial(_payload, path, name, contents, begin) for name in contents.tensors})
    return contents


def _opened(path: Path, digest: str) -> tuple[Contents, int]:
    contents, begin = Contents.of(path)
    if contents.name != digest:
        raise ValueError(f"it holds another one, {contents.name[:12]}")
    return contents, begin


def _is_stored(path: Path, digest: str, reference: Reference | None) -> bool:
    """Whether an object is there, intact, and to be decoded with this reference."""
    try:
        needed = checked(path, digest).reference
    except Damaged:
        return False
    return needed is None or (reference is not None and needed == reference.digest)


def _all(jobs: Mapping[str, Callable[[], T]]) -> dict[str, T]:
    """Do jobs at once; the first that fails says so."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(jobs, pool.map(lambda job: job(), jobs.values()), strict=True))


def _encoded(entry: Entry, rows: Rows, base: Tensor | None, compress: bool) -> tuple[Entry, Bytes]:
    pretrained = _pretrained_rows(entry, base)
    codec = "raw" if not compress else "planes" if pretrained is None else "delta"
    codec, payload = encode(rows, pretrained, codec=codec)
    digest = None if codec == "raw" else digest_of(payload.data)
    return entry.model_copy(update={"codec": codec, "payload": digest, "bytes": payload.size}), payload


def _pretrained_rows(entry: Entry, base: Tensor | None) -> Rows | None:
    """The pretrained values of a tensor, if they are of its dtype and shape."""
    if base is None or (base.dtype, tuple(base.shape)) != (entry.torch_dtype, entry.shape):
        return None
    return rows_of(base)


def _base(path: Path, contents: Contents, reference: Reference | None) -> Mapping[str, Tensor]:
    """The pretrained values that an object needs; none where it needs none."""
    if contents.reference is None:
        return {}
    if reference is None or reference.digest != contents.reference:
        raise _other_base(path, contents, "none was given" if reference is None else f"{reference.digest} was given")
    return reference.load()


def _payload(path: Path, name: str, contents: Contents, begin: int) -> Bytes:
    """The encoded bytes of one tensor, found to be what was written."""
    entry, (first, last) = contents.tensors[name], contents.offsets[name]
    with _or_damaged(path, name):
        payload = read(path, begin + first, last - first)
        _require(payload, entry.payload or entry.digest)
    return payload


def _restored(path: Path, name: str, contents: Contents, begin: int, base: Tensor | None) -> Tensor:
    entry, payload = contents.tensors[name], _payload(path, name, contents, begin)
    codec, pretrained = CODECS[entry.codec], _pretrained_rows(entry, base)
    if codec.against and pretrained is None:
        raise _other_base(path, contents, f"what was given has no such {name!r}")
    with _or_damaged(path, name):
        rows = codec.decode(payload, entry.rows, pretrained)
        if entry.payload is not None and not codec.against:
            _require(rows, entry.digest)
    if codec.against and digest_of(rows.data) != entry.digest:
        raise _other_base(path, contents, f"what was given has other values in {name!r}")
    return tensor_of(rows, entry.torch_dtype, entry.shape)


@contextmanager
def _or_damaged(path: Path, tensor: str | None = None) -> Iterator[None]:
    """Say of which object, and of which tensor in it, something is not as it was stored.

    A disk that cannot be read now is another matter: what it holds may be whole.
    """
    try:
        yield
    except (FileNotFoundError, ValueError, ZstdError) as error:
        what = f"object {path.stem[:12]}" if tensor is None else f"tensor {tensor!r} of object {path.stem[:12]}"
        raise Damaged(
            f"{what} must be what was stored, but {error}; remove {path}, and the run goes on from an earlier resume "
            "point, or starts over"
        ) from error


def _other_base(path: Path, contents: Contents, but: str) -> Damaged:
    return Damaged(
        f"object {path.stem[:12]} needs the base it was trained from, {contents.reference}, but {but}; put the base "
        "back as it was then"
    )


def _require(content: Rows, digest: str) -> None:
    if digest_of(content.data) != digest:
        raise ValueError("its digest is another")
