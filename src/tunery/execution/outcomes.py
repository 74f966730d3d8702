"""What the end of a run means for a study: an error, or a process that is gone, becomes an outcome."""

import signal
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from tunery.errors import DiskFull, Interrupted, NonFiniteLoss, RequestError, TuneryError
from tunery.execution.runner import Outcome
from tunery.train.exit_text import exit_text
from tunery.train.memory.shortage import is_out_of_memory

_ASKED: Final = {-signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP}


class Pruned(Exception):
    """The study has pruned the run; the text says why."""


_MEANINGS: Final[tuple[tuple[tuple[type[Exception], ...], Callable[[str], Outcome]], ...]] = (
    ((Pruned, NonFiniteLoss), partial(Outcome, "pruned")),
    ((Interrupted,), partial(Outcome, "interrupted")),
    ((RequestError,), partial(Outcome, "refused")),
    ((DiskFull, OSError), partial(Outcome, "stopped")),
)
"""Errors that say by their kind what they mean."""


def outcome_of_error(error: Exception) -> Outcome:
    """The outcome of a run that an error ended. What is no error of tunery is printed with its traceback."""
    named = f"{type(error).__name__}: {error}"
    if any(is_out_of_memory(cause) for cause in _causes(error)):
        return Outcome("out_of_memory", named)
    for kinds, outcome in _MEANINGS:
        if isinstance(error, kinds):
            return outcome(str(error))
    if not isinstance(error, TuneryError):
        traceback.print_exception(error)
    return Outcome("failed", named)


def outcome_of_exit(code: int) -> Outcome:
    """The outcome of a run whose process ended without saying how; `code` is negative for a signal."""
    if code in _ASKED:
        return Outcome("interrupted", signal.Signals(-code).name)
    return Outcome("out_of_memory" if code == -signal.SIGKILL else "failed", f"the process {exit_text(code)}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those that it was raised from: one of these may be about memory where the last is not."""
    while error is not None:
        yield error
        error = error.__cause__
