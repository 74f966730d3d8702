"""Trains every run of a study in a process of its own, forked from one that is warm.

Imports nothing heavy: the server has begun to, by the time that the study does.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Final, final

from tunery.execution.channel import Channel, Message
from tunery.execution.outcomes import outcome_of_exit
from tunery.execution.runner import Epoch, Job, Judge, Outcome, Runner, Stop
from tunery.schema import RunConfig
from tunery.schema.results.run import Progress

_SERVER: Final = (sys.executable, "-P", "-m", "tunery.execution.fork_server_main")
_LOOK: Final = 0.1
"""Seconds between two looks at what asks to stop."""
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
        self._talks: set[_Talk] = set()

    def warm_up(self, config: RunConfig, *, trust_remote_code: bool = False) -> None:
        """Start the server, and have it read model and data."""
        mine, its = socket.socketpair()
        with mine:
            self._hand_over(its)
            Channel(mine).send(**_request(config, trust_remote_code=trust_remote_code))

    def run(self, job: Job, *, judge: Judge, stop: Stop) -> Outcome:
        """Train it in a process. When the judge or a second signal raises, the process is killed."""
        mine, its = socket.socketpair()
        channel = Channel(mine)
        talk = _Talk(job, channel)
        self._talks.add(talk)
        try:
            self._hand_over(its)  # first: somebody must read a request that is larger than the socket holds
            channel.send(**_request(job.config, trust_remote_code=job.trust_remote_code, job=job))
            return talk.follow(judge, stop)
        finally:
            self._talks.discard(talk)
            talk.kill()
            channel.close()

    def close(self) -> None:
        """End the server, and what still trains."""
        for talk in tuple(self._talks):
            talk.kill(Outcome("interrupted", "the study has ended"))
        with self._lock:
            self._end()

    def _hand_over(self, its: socket.socket) -> None:
        """Give the server its end of the talk. A server that died in the meantime is replaced."""
        with self._lock, its:
            if self._server is None or self._server.poll() is not None:
                self._end()
                self._start()
            if self._control is not None:
                with suppress(BrokenPipeError, ConnectionResetError):  # it died just now: nobody will answer
                    socket.send_fds(self._control, [b"."], [its.fileno()])

    def _start(self) -> None:
        self._control, far = socket.socketpair()
        with far:
            # a session of its own: a Ctrl-C is meant for the study, which asks its trials to leave
            self._server = subprocess.Popen(
                [*_SERVER, str(far.fileno())], pass_fds=[far.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._server is not None:
            self._server.kill()  # it has nothing to save
            self._server.wait()
        self._server = self._control = None


@final
class _Talk:
    """What is said with the process of one trial."""

    def __init__(self, job: Job, channel: Channel) -> None:
        self._patience = job.config.search.stall_timeout
        self._channel = channel
        self._pid: int | None = None
        self._heard = 0.0
        self._asked = False
        self._outcome: Outcome | None = None

    def follow(self, judge: Judge, stop: Stop) -> Outcome:
        """Listen until the process has ended."""
        with suppress(EOFError):
            while (ended := self._hear(self._channel.receive(_LOOK) or {}, judge)) is None:
                if self._wants_to_leave(stop) and self._pid is None:
                    return Outcome("interrupted", "nothing had begun")
                self._end_what_hangs()
            return self._outcome or outcome_of_exit(ended)
        return self._outcome or _GONE

    def kill(self, outcome: Outcome | None = None) -> None:
        """End the process at once, if it has not ended."""
        self._outcome = self._outcome or outcome
        if self._pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def _hear(self, message: Message, judge: Judge) -> int | None:
        """Act on a message; returns the exit code once there is one."""
        if "begun" in message:
            self._pid = message["begun"]
        if "epoch" in message:
            self._channel.send(answer=judge(_epoch(**message["epoch"])))
        if "outcome" in message:
            self._outcome = self._outcome or Outcome(**message["outcome"])
        if message:
            self._heard = time.monotonic()
        if "ended" in message:
            self._pid = None
        return message.get("ended")

    def _wants_to_leave(self, stop: Stop) -> bool:
        """Ask; the first time that the answer is yes, ask the process to leave."""
        why = stop()
        if why is not None and not self._asked:
            self._channel.send(leave=why)
        self._asked |= why is not None
        return self._asked

    def _end_what_hangs(self) -> None:
        patience = self._patience
        if self._pid is not None and patience is not None and time.monotonic() - self._heard > patience:
            words = f"no progress for {patience:g} s; search.stall_timeout sets how long to wait"
            self.kill(Outcome("failed", words))


def _request(config: RunConfig, *, trust_remote_code: bool, job: Job | None = None) -> Message:
    """What the server is asked for: a run, or to get ready for runs like one."""
    run = job and {"folder": str(job.folder), "study": str(job.study), "title": job.title, "alone": job.alone}
    document = config.model_dump(mode="json")
    return {"config": document, "cwd": os.getcwd(), "trust_remote_code": trust_remote_code, "run": run}


def _epoch(number: int, value: float | None, progress: Message) -> Epoch:
    return Epoch(number, value, Progress(**progress))
