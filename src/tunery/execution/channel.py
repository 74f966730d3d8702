"""Messages between a study and the process of one of its trials: JSON over a socket, one a line."""

import json
import select
import socket
import threading
import time
from contextlib import suppress
from typing import Any, final

Message = dict[str, Any]


@final
class Channel:
    """One end. A process that has a copy of it, such as the parent of the one that died, may finish the talk.

    A writer may die in the middle of a line; so every line begins with a break too, and what is no message is skipped.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._writing = threading.Lock()
        self._read = b""

    def send(self, **message: Any) -> None:
        """Say something; where nobody listens any more, `receive` will tell."""
        line = f"\n{json.dumps(message)}\n".encode()
        with self._writing, suppress(BrokenPipeError, ConnectionResetError):
            self._end.sendall(line)

    def receive(self, seconds: float | None = None) -> Message | None:
        """The next message; None when there is none for so long.

        Raises:
            EOFError: when nobody is left who could send one.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while (found := self._next()) is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not _is_ready(self._end, left):
                return None
            self._read += self._bytes()
        return found

    def close(self) -> None:
        """Close this copy of the end."""
        self._end.close()

    def _bytes(self) -> bytes:
        with suppress(ConnectionResetError):
            if found := self._end.recv(2**16):
                return found
        raise EOFError

    def _next(self) -> Message | None:
        while b"\n" in self._read:
            line, _, self._read = self._read.partition(b"\n")
            with suppress(ValueError):
                return Message(json.loads(line))
        return None


def _is_ready(end: socket.socket, seconds: float | None) -> bool:
    """Whether there is something to read; `select` would refuse a descriptor beyond 1,023."""
    waiting = select.poll()
    waiting.register(end, select.POLLIN)
    return bool(waiting.poll(None if seconds is None else seconds * 1000))
