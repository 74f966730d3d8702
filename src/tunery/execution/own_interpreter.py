"""Trains every run in an interpreter of its own. Slower to begin than a fork, but nothing is shared with other runs:
its peak memory is its own, and it may use what no fork can."""

import os
import signal
import socket
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final, final

from tunery.execution.channel import Channel
from tunery.execution.conversation import supervise
from tunery.execution.devices import environment_of
from tunery.execution.messages import Ended, Message, Train, encode
from tunery.execution.runner import Job, Outcome, Prune, Runner, Stop
from tunery.startup import with_wait_policy

_COMMAND: Final = (sys.executable, "-P", "-m", "tunery.execution.run_process_main")


@final
class OwnInterpreters(Runner):
    """One interpreter for each run. It saves and leaves when this process dies, however that happens."""

    def run(self, job: Job, *, prune: Prune, stop: Stop) -> Outcome:
        """Train it. When `prune` or a second signal raises, the process is killed."""
        mine, its = socket.socketpair()
        with closing(Channel(mine)) as channel:
            with its:
                interpreter = _Interpreter(start_interpreter(Train(job, Path.cwd()), its), channel)
            try:
                outcome = supervise(interpreter, job, prune=prune, stop=stop)
            finally:
                interpreter.kill()
        if outcome is None:
            raise RuntimeError("an interpreter has ended, but not said how")
        return outcome

    def close(self) -> None:
        """Nothing serves the runs."""


@final
class _Interpreter:
    """The line to a run whose process is a child of this one."""

    def __init__(self, pid: int, channel: Channel) -> None:
        self._pid = pid
        self._channel = channel
        self._ended: Ended | None = None

    def send(self, message: Message) -> None:
        self._channel.send(message)

    def receive(self, seconds: float | None = None) -> Message | None:
        try:
            return self._channel.receive(seconds)
        except EOFError:
            return self._wait()

    def kill(self) -> None:
        if self._ended is None:
            os.kill(self._pid, signal.SIGKILL)
            self._wait()

    def _wait(self) -> Ended:
        if self._ended is None:
            _, status = os.waitpid(self._pid, 0)
            self._ended = Ended(os.waitstatus_to_exitcode(status))
        return self._ended


def start_interpreter(request: Train, end: socket.socket) -> int:
    """Start an interpreter that trains a run and answers into `end`; returns its number.

    It leads a session of its own: a Ctrl-C is meant for this process, which asks the run to leave.
    """
    os.set_inheritable(end.fileno(), True)
    try:
        with TemporaryFile("w+", encoding="utf-8") as question:  # an argument may have 128 KiB
            question.write(encode(request))
            question.seek(0)
            return os.posix_spawn(
                sys.executable,
                [*_COMMAND, str(end.fileno())],
                {**with_wait_policy(os.environ), **environment_of(request.job.device)},
                file_actions=[(os.POSIX_SPAWN_DUP2, question.fileno(), 0)],
                setsid=True,
            )
    finally:
        os.set_inheritable(end.fileno(), False)
