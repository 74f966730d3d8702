"""Both ends of what is said about one run: `supervise` where the run is wanted, `Supervisor` where it is trained.

wanted                           trained
               <- Begun          the process is there
               <- Alive          now and then
prune          <- Epoch          after every epoch, and wait
               Answer ->         go on, or why the run is pruned
stop           Leave ->          save and leave
               <- Outcome        how it ended
               <- Ended          from the parent of the process
"""

import os
import signal
import threading
import time
from contextlib import suppress
from queue import SimpleQueue
from typing import Final, Protocol, final

from tunery.execution.messages import Alive, Answer, Begun, Ended, Leave, Message
from tunery.execution.outcomes import outcome_of_exit
from tunery.execution.runner import Epoch, Job, Outcome, Prune, Stop

_LOOK: Final = 0.1
"""Seconds between two looks at what asks to stop."""
_PAUSE: Final = 0.5
"""Least seconds between two signs of life."""


class Line(Protocol):
    """One end of a connection."""

    def send(self, message: Message) -> None:
        """Send a message; it is lost where the other end is closed."""

    def receive(self, seconds: float | None = None) -> Message | None:
        """The next message; None when there is none for so long.

        Raises:
            EOFError: when none can come any more.
        """


class LineToRun(Line, Protocol):
    """The end where the run is wanted."""

    def kill(self) -> None:
        """End the process of the run at once, if it is known and has not ended."""


def supervise(line: LineToRun, job: Job, *, prune: Prune, stop: Stop) -> Outcome | None:
    """Listen until the process of a run has ended. What `prune` raises is raised.

    Returns:
        How the run ended; None where this is not known.
    """
    patience = job.stall_timeout
    outcome: Outcome | None = None
    heard: float | None = None
    is_asked_to_leave = False
    while True:
        try:
            message = line.receive(_LOOK)
        except EOFError:
            return outcome
        match message:
            case Epoch():
                line.send(Answer(prune(message)))
            case Outcome():
                outcome = outcome or message
            case Ended(exit_code):
                return outcome or outcome_of_exit(exit_code)
        if message is not None:
            heard = time.monotonic()
        if not is_asked_to_leave and (why := stop()) is not None:
            is_asked_to_leave = True
            line.send(Leave(why))
        if heard is None and is_asked_to_leave:
            line.kill()
            return Outcome("interrupted", "nothing had begun")
        if heard is not None and patience is not None and time.monotonic() - heard > patience:
            line.kill()
            silent = f"no progress for {patience:g} s; search.stall_timeout sets how long to wait"
            outcome = outcome or Outcome("failed", silent)


@final
class Supervisor:
    """The process that wants the run, as seen by the one that trains it."""

    def __init__(self, line: Line, *, patience: float | None, owns_process: bool) -> None:
        """Args:
        patience: seconds after which its own process is ended, if that hangs once the other end is closed.
        owns_process: whether the process is there for this run alone. Then a signal interrupts it, whatever it does;
            else it leaves after a step.
        """
        self._line = line
        self._patience = patience
        self._owns_process = owns_process
        self._answers: SimpleQueue[str | None] = SimpleQueue()
        self._why: str | None = None
        self._said = time.monotonic()
        line.send(Begun(os.getpid()))
        threading.Thread(target=self._listen, daemon=True).start()

    def prune(self, epoch: Epoch) -> str | None:
        """Report an epoch; returns why the run is pruned, or None."""
        self._line.send(epoch)
        return self._answers.get()

    def stop(self) -> str | None:
        """What asks the run to leave."""
        self.alive()
        return self._why

    def alive(self) -> None:
        """Say now and then that there is progress."""
        if time.monotonic() - self._said >= _PAUSE:
            self._said = time.monotonic()
            self._line.send(Alive())

    def _listen(self) -> None:
        with suppress(EOFError):
            while True:
                match self._line.receive():
                    case Answer(reason):
                        self._answers.put(reason)
                    case Leave(why):
                        self._leave(why)
        if self._owns_process and self._patience is not None:
            signal.setitimer(signal.ITIMER_REAL, self._patience)  # no other process would end this one if it hangs
        self._leave("the end of who wanted the run")
        self._answers.put(None)

    def _leave(self, why: str) -> None:
        self._why = self._why or why
        if self._owns_process:
            os.kill(os.getpid(), signal.SIGTERM)
