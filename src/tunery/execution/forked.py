"""Trains every run in a process of its own, forked from one that is warm.

Imports nothing heavy: the server has begun to, by the time that the study does.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, final

from tunery.execution.channel import Channel
from tunery.execution.conversation import supervise
from tunery.execution.messages import Begun, Ended, Message, Train, WarmUp
from tunery.execution.runner import Job, Outcome, Prune, Runner, Stop
from tunery.schema import RunConfig
from tunery.startup import with_wait_policy

_SERVER: Final = (sys.executable, "-P", "-m", "tunery.execution.fork_server_main")
_GONE: Final = Outcome("failed", "the process died, and the one that would know how did too")


@final
class WarmProcesses(Runner):
    """What trials share is read once, by a server; device memory is returned whole, because each process ends.

    A crash, a hang or a lack of memory touches only its trial. Server and trials leave when this process dies, however
    that happens.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._trials: set[_Trial] = set()
        self._is_closed = False

    def warm_up(self, config: RunConfig, *, trust_remote_code: bool = False) -> None:
        """Start the server, and have it read model and data."""
        mine, its = socket.socketpair()
        with closing(Channel(mine)) as channel:
            self._hand_over(its)
            channel.send(WarmUp(config, Path.cwd(), trust_remote_code))

    def run(self, job: Job, *, prune: Prune, stop: Stop) -> Outcome:
        """Train it in a process. When `prune` or a second signal raises, the process is killed."""
        mine, its = socket.socketpair()
        with closing(Channel(mine)) as channel:
            trial = _Trial(channel)
            self._trials.add(trial)
            try:
                self._hand_over(
                    its
                )  # first: a request may be larger than the socket holds, and has to be read meanwhile
                channel.send(Train(job, Path.cwd()))
                outcome = supervise(trial, job, prune=prune, stop=stop)
            finally:
                self._trials.discard(trial)
                trial.kill()
        return Outcome("interrupted", "the study has ended") if self._is_closed else outcome or _GONE

    def close(self) -> None:
        """End the server, and what still trains."""
        self._is_closed = True
        for trial in tuple(self._trials):
            trial.kill()
        with self._lock:
            self._end()

    def _hand_over(self, its: socket.socket) -> None:
        """Give the server its end of the line. A server that died in the meantime is replaced."""
        with self._lock, its:
            if self._server is None or self._server.poll() is not None:
                self._end()
                self._start()
            if self._control is not None:
                with suppress(BrokenPipeError, ConnectionResetError):  # it died just now: `receive` will say so
                    socket.send_fds(self._control, [b"."], [its.fileno()])

    def _start(self) -> None:
        self._control, far = socket.socketpair()
        with far:
            # a session of its own: a Ctrl-C is meant for the study, which asks its trials to leave
            self._server = subprocess.Popen(
                [*_SERVER, str(far.fileno())],
                pass_fds=[far.fileno()],
                stdin=subprocess.DEVNULL,
                env=with_wait_policy(os.environ),
                start_new_session=True,
            )

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._server is not None:
            self._server.kill()  # it has nothing to save
            self._server.wait()
        self._server = self._control = None


@final
class _Trial:
    """The line to a trial, whose process is a child of the server."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._pid: int | None = None

    def send(self, message: Message) -> None:
        self._channel.send(message)

    def receive(self, seconds: float | None = None) -> Message | None:
        message = self._channel.receive(seconds)
        match message:
            case Begun(pid):
                self._pid = pid
            case Ended():
                self._pid = None
        return message

    def kill(self) -> None:
        if self._pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
