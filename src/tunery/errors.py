"""What can go wrong, as a tree.

TuneryError
  RequestError          the request was wrong; nothing was started (exit code 2)
    ConfigError         the config: every problem at once, each with its path
    DataError           the data files: missing, unreadable, wrong column, fatal finding
    ModelError          the base model: unknown, unreachable, unsuitable
    FolderError         the run folder: unwritable, locked, too small, or holding something else
    OutputError         a file to be written: it exists, is the input, or cannot be written
    MissingExtra        an optional dependency is not installed
  RunError              the run failed (exit code 1)
    NonFiniteLoss       the loss became NaN or infinite
    ExportMismatch      the exported model does not answer like the trained one
    Damaged             what is on disk is not what was written there
    DiskFull            there is no room for weights or training state; the run is resumable
    StudyFailed         too many trials in a row failed, or no trial or cell of a comparison completed
  Interrupted           stopped by a signal; the same command resumes (exit code 130)
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final, NamedTuple

_MOST_ITEMS: Final = 40
"""Items of a list, such as the choices that there are, that a message shows."""
_ITEM_LENGTH: Final = 60
"""Characters of such an item."""
_PATH_LENGTH: Final = 120
"""Characters of the path of a problem that a message shows; `Problem.path` has all."""
_TEXT_LENGTH: Final = 500
"""Characters that a message repeats of a file, or of a message of another library."""
_MOST_PROBLEMS: Final = 20
"""Problems of a config that a message lists; `ConfigError.problems` has all."""


class Problem(NamedTuple):
    """One thing wrong with a config: where (dotted path) and what."""

    path: str
    message: str

    def __str__(self) -> str:
        message = shortened(self.message, 5 * _TEXT_LENGTH)
        return f"{shortened(self.path, _PATH_LENGTH)}: {message}" if self.path else message


class TuneryError(Exception):
    """Base of all errors that tunery raises on purpose."""


class RequestError(TuneryError):
    """The request cannot be carried out; nothing was started."""


class ConfigError(RequestError):
    """The config breaks one or more rules."""

    def __init__(self, problems: Iterable[Problem], *, source: str = "config") -> None:
        self.problems: Sequence[Problem] = tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems[:_MOST_PROBLEMS])
        if len(self.problems) > _MOST_PROBLEMS:
            lines += f"\n  and {len(self.problems) - _MOST_PROBLEMS:,} more"
        count = f"{len(self.problems):,} problem{'' if len(self.problems) == 1 else 's'}"
        super().__init__(f"{count} in {source}:\n{lines}")


class DataError(RequestError):
    """The data cannot be used as asked."""


class ModelError(RequestError):
    """The base model cannot be found or does not fit the request."""


class FolderError(RequestError):
    """The run folder cannot be used as asked."""


class OutputError(RequestError):
    """A file that was to be written must not or cannot be."""


class MissingExtra(RequestError):
    """An optional dependency is needed and not installed."""

    def __init__(self, package: str, *, extra: str) -> None:
        super().__init__(f"{package} is not installed. Type: pip install 'tunery[{extra}]'")


class RunError(TuneryError):
    """The run started and failed."""


class NonFiniteLoss(RunError):
    """The loss became NaN or infinite; where it is known, at which step, learning rate and rows (their ids)."""

    def __init__(
        self, message: str, *, step: int | None = None, lr: float | None = None, rows: Sequence[str] = ()
    ) -> None:
        self.step = step
        self.lr = lr
        self.rows = tuple(rows)
        super().__init__(message)


class ExportMismatch(RunError):
    """The exported model, read back from disk, does not answer like the trained one."""


class Damaged(RunError):
    """An object or a resume point is not what was written."""


class DiskFull(RunError):
    """There is no room for weights or training state; what was done so far is resumable once there is."""


class StudyFailed(RunError):
    """A study or comparison cannot go on or has no result: trials fail one after another, or nothing completed."""


class Interrupted(TuneryError):
    """A signal asked to stop; what was done so far is on disk and resumable."""


def reason_of(error: BaseException) -> str:
    """What an error of another library says, for a message: its type and one line of a readable length."""
    return f"{type(error).__name__}: {shortened(str(error))}"


def shortened(text: str, most: int = _TEXT_LENGTH) -> str:
    """A text on one line of at most so many characters; the last of them says that there are more."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def did_you_mean(word: object, choices: Iterable[str], *, otherwise: str | None = None) -> str:
    """Say which of `choices` looks most like `word`, capitals aside, else list them all, or say what is given."""
    names = sorted(choices)
    by_folded_name = {name.casefold(): name for name in names}
    close = get_close_matches(str(word).casefold(), by_folded_name, n=1, cutoff=0.6)
    if close:
        return f"did you mean {by_folded_name[close[0]]!r}?"
    return otherwise or f"choose from: {enumerated(names)}"


def enumerated(
    items: Sequence[str], most: int = _MOST_ITEMS, *, letters: int = _ITEM_LENGTH, separator: str = ", "
) -> str:
    """The first items, each of at most so many letters, and how many more there are: `a, b and 3 more`."""
    shown = separator.join(shortened(item, letters) for item in items[:most])
    more = f"{separator.replace(',', '')}and {len(items) - most:,} more"
    return shown + more if len(items) > most else shown
