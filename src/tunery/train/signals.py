"""SIGINT and SIGTERM end a run where nothing is lost by it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, final

from tunery.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def no_stop() -> None:
    """Nothing asks to leave."""


@contextmanager
def on_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have SIGINT and SIGTERM call `handler` while the block runs; only the main thread of a process can."""
    main = threading.current_thread() is threading.main_thread()
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in _SIGNALS if main}
    try:
        for number in handlers:
            signal.signal(number, handler)
        yield
    finally:
        for number, previous in handlers.items():
            signal.signal(number, previous)


@final
class Signals:
    """What asks to leave, if anything: a signal, or another."""

    def __init__(self, stop: Callable[[], str | None] = no_stop) -> None:
        """Args:
        stop: what else asks to leave, if anything; asked wherever a signal is looked for.
        """
        self.by: str | None = None
        self._stop = stop
        self._deferred = False

    def stop_requested(self) -> bool:
        """Whether one has come while they were deferred, or something else asks to leave."""
        self.by = self.by or self._stop()
        return self.by is not None

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Let signals end the block.

        Raises:
            Interrupted: out of the block, at once; but see `deferred`.
        """
        with on_signals(self._handle):
            yield

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Only note the first signal within the block, which looks for it where it can stop; a second one ends it."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self.by = self.by is not None, signal.Signals(number).name
        if again or not self._deferred:
            raise Interrupted(f"{self.by} came; the same command starts or resumes the work")
