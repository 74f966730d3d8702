"""A copy of this process that answers questions."""

import os
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, final


@final
class Fork:
    """As much of `subprocess.Popen` as a question and an answer need.

    Only the thread that forks is in the copy, and nothing that CUDA or a team of threads knows: fork before either.
    """

    def __init__(self, work: Callable[[BinaryIO, BinaryIO], None]) -> None:
        """Args:
        work: what the copy does with its questions and answers; it ends when `work` does.
        """
        (questions, into), (out, answers) = os.pipe(), os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.close(into)
            os.close(out)
            _be(work, os.fdopen(questions, "rb"), os.fdopen(answers, "wb"))
        os.close(questions)
        os.close(answers)
        self.stdin, self.stdout = os.fdopen(into, "wb"), os.fdopen(out, "rb")

    def poll(self) -> int | None:
        """How it ended, as `Popen` tells it; None while it lives."""
        return self._bury(os.WNOHANG)

    def wait(self) -> int:
        """The same, in time."""
        code = self._bury(0)
        return 0 if code is None else code

    def kill(self) -> None:
        """End it at once."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _bury(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode


def _be(work: Callable[[BinaryIO, BinaryIO], None], questions: BinaryIO, answers: BinaryIO) -> None:
    try:
        work(questions, answers)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
