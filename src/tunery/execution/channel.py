"""Messages over a socket, one a line."""

import select
import socket
import threading
import time
from contextlib import suppress
from json import JSONDecodeError
from typing import final

from tunery.execution.messages import Message, decode, encode


@final
class Channel:
    """One end of the socket. Processes that have copies of it may all write to it, such as the parent of the one that
    died.

    A writer may die in the middle of a line; so every line begins with a break too, and what is torn is skipped.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._writing = threading.Lock()
        self._unread = b""

    def send(self, message: Message) -> None:
        """Send a message; where the other end is closed, `receive` says so."""
        line = f"\n{encode(message)}\n".encode()
        with self._writing, suppress(BrokenPipeError, ConnectionResetError):
            self._end.sendall(line)

    def receive(self, seconds: float | None = None) -> Message | None:
        """The next message; None when there is none for so long.

        Raises:
            EOFError: when the other end is closed and nothing is left to read, or this one is closed meanwhile.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while (message := self._next()) is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not _is_ready(self._end, left):
                return None
            received = b""
            try:
                received = self._end.recv(2**16)
            except OSError as error:
                if not (isinstance(error, ConnectionResetError) or self._end.fileno() < 0):
                    raise
            if not received:
                raise EOFError
            self._unread += received
        return message

    def close(self) -> None:
        """Close this copy of the end."""
        self._end.close()

    def _next(self) -> Message | None:
        while b"\n" in self._unread:
            line, _, self._unread = self._unread.partition(b"\n")
            with suppress(JSONDecodeError):
                return decode(line)
        return None


def _is_ready(end: socket.socket, seconds: float | None) -> bool:
    """Whether there is something to read, or the end is closed; `select` would refuse a descriptor beyond 1,023."""
    descriptor = end.fileno()
    if descriptor < 0:
        return True
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(None if seconds is None else seconds * 1000))
