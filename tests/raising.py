"""An error out of a function of tunery, as a signal or a broken disk would raise it there."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Literal


@contextmanager
def raising(
    error: BaseException, function: Callable[..., Any], *, at: Literal["call", "return"] = "call"
) -> Iterator[None]:
    """Raise the error once, the first time that this thread enters or leaves the function within the block."""

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == at and frame.f_code is function.__code__:  # type: ignore[attr-defined]
            sys.setprofile(None)
            raise error

    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)
