"""Which errors mean that memory has run out."""

import errno
from typing import Final

_SIGNS: Final = (
    "OutOfMemoryError",
    "out of memory",
    "can't allocate memory",
    "could not create a primitive",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "std::bad_alloc",
)
"""A part of the name or text of every `RuntimeError` that means: memory has run out, on a device or on the host. oneDNN
says that it could not create a primitive, whatever it lacks for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this very error means that memory has run out."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, RuntimeError):
        return any(text in repr(error) for text in _SIGNS)
    return isinstance(error, MemoryError)
