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
        (questions, stdin), (stdout, answers) = os.pipe(), os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.close(stdin)
            os.close(stdout)
            try:
                work(os.fdopen(questions, "rb"), os.fdopen(answers, "wb"))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        os.close(questions)
        os.close(answers)
        self.stdin, self.stdout = os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb")

    def poll(self) -> int | None:
        """How it ended, as `Popen` tells it; None while it lives."""
        return self._reap(os.WNOHANG)

    def wait(self) -> int:
        """The same, in time."""
        code = self._reap(0)
        return 0 if code is None else code

    def kill(self) -> None:
        """End it at once."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _reap(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode
