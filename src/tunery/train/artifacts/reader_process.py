"""The process that reads exported folders, from the side of the one that asks. Imports nothing heavy, so that a command
can start it before it imports anything itself: both then do so at once.

The process (`reader.py`) serves until this one ends, however that happens, and is started again where it died. It runs
at the priority of this one: a lower one cannot be taken back by an ordinary user, and would keep the answer waiting for
as long as something else is at work on the machine.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, BinaryIO, Final, final

from tunery.errors import ExportMismatch
from tunery.startup import with_wait_policy
from tunery.train.artifacts.fork import Fork
from tunery.train.exit_text import exit_text

COMMAND: Final = (sys.executable, "-P", "-m", "tunery.train.artifacts.reader")
NOTHING: Final = "nothing was published"

Answer = tuple[dict[str, Any], bytes]
Process = subprocess.Popen[bytes] | Fork


@final
class Reader:
    """The other process, from this one's side. One question at a time, from whichever thread."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        """Args:
        command: starts the process.
        """
        self._command = command
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._is_early = False
        atexit.register(self.end)
        os.register_at_fork(after_in_child=self.disown)

    @property
    def pid(self) -> int | None:
        """Number of the process, if there is one."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Begin now, so that it imports while this process does something else. Where that fails, another is started
        when there is a question."""
        with self._lock, suppress(OSError):
            if self._process is None:
                self._running()
                self._is_early = True

    def fork(self, serve: Callable[[BinaryIO, BinaryIO], None]) -> None:
        """Begin now, as a copy of this process, which has seen no model yet. When that dies, another is started.

        Args:
            serve: answers questions.
        """
        self._process = Fork(serve)

    def ask(self, question: Mapping[str, Any]) -> Answer:
        """Raises:
        ExportMismatch: the process died over it.
        """
        with self._lock:
            is_early, self._is_early = self._is_early, False
            try:
                return self._answer(question)
            except ExportMismatch:
                if not is_early:
                    raise
            return self._answer(question)  # what the first died of may be gone: training took the memory, say

    def end(self) -> None:
        """Called when this process ends. The other has nothing to save, and may still be importing."""
        if self._process is not None:
            self._process.kill()
            self._end(self._process)

    def disown(self) -> None:
        """Called in a fork of this process: the reader is its parent's, and must not live as long as the fork."""
        if self._process is not None:
            _close(self._process)
            self._process.returncode = 0  # there is no child here to wait for
        self._lock, self._process = threading.Lock(), None

    def _answer(self, question: Mapping[str, Any]) -> Answer:
        process = self._running()
        stdin, stdout = _pipes(process)
        try:
            with suppress(BrokenPipeError):  # it died already: its exit code says how
                stdin.write(f"{json.dumps(question)}\n".encode())
                stdin.flush()
            line = stdout.readline()
            if line.endswith(b"\n"):
                head = json.loads(line)
                size = head.get("bytes", 0)
                body = stdout.read(size)
                if len(body) == size:
                    return head, body
            ending = exit_text(process.wait())
            raise ExportMismatch(f"the process that reads the exported model back {ending}; {NOTHING}")
        except BaseException:
            process.kill()  # a late answer must not be taken for the next one's
            self._end(process)
            raise

    def _running(self) -> Process:
        if self._process is not None and self._process.poll() is not None:
            self._end(self._process)
        if self._process is None:
            pipe = subprocess.PIPE
            # a session of its own: a Ctrl-C is meant for this process, which may have questions left
            self._process = subprocess.Popen(
                self._command, stdin=pipe, stdout=pipe, env=with_wait_policy(os.environ), start_new_session=True
            )
        return self._process

    def _end(self, process: Process) -> None:
        _close(process)
        process.wait()
        self._process = None


def _pipes(process: Process) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the reader needs both pipes")
    return process.stdin, process.stdout


def _close(process: Process) -> None:
    for pipe in _pipes(process):
        with suppress(BrokenPipeError):
            pipe.close()


READER: Final = Reader()
