"""What a person sees while a study or a comparison runs."""

from collections.abc import Sequence
from typing import final

from rich.console import Console
from transformers import TrainerCallback

from tunery.hpo.cells import Job
from tunery.schema import RunConfig
from tunery.schema.results import Cell, TrialRecord
from tunery.train.console import ConsoleProgress, print_line


@final
class StudyConsole:
    """One progress bar per trial on a terminal, one line per epoch and trial elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: ConsoleProgress | None = None

    def trial_started(self, number: int, config: RunConfig) -> Sequence[TrainerCallback]:
        """Open the trial's progress."""
        self.close()
        self._progress = ConsoleProgress(self._console, title=f"trial {number}", objective=config.objective)
        return [self._progress]

    def trial_ended(self, record: TrialRecord) -> None:
        """One line: how it ended, with which parameters."""
        self.close()
        params = ", ".join(f"{path}={_short(value)}" for path, value in record.params.items())
        value = "" if record.value is None else f" {record.value:.4f}"
        why = f" ({record.reason})" if record.reason else ""
        line = f"trial {record.number} {record.status}{value} in {record.seconds:.0f} s: {params}{why}"
        print_line(self._console, line)

    def say(self, text: str) -> None:
        """A line about the disk: above the bar of the trial at work, if there is one."""
        if self._progress is not None:
            self._progress.say(text)
        else:
            print_line(self._console, text)

    def close(self) -> None:
        """Stop drawing."""
        if self._progress is not None:
            self._progress.close()
            self._progress = None


@final
class ComparisonConsole:
    """One line when a cell begins and one when it ends; between them the cell's own process shows its epochs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._place = ""

    def cell_started(self, job: Job, *, number: int, total: int) -> None:
        """Say which one of how many."""
        self._place = f"[{number}/{total}]"
        self._say(f"{job.title} …")

    def cell_ended(self, cell: Cell) -> None:
        """Its score and seconds, or why it failed."""
        told = f"{cell.method} seed {cell.seed} {cell.status}"
        if cell.result is None:
            self._say(f"{told}: {cell.reason}")
            return
        value = "undefined" if cell.value is None else f"{cell.value:.4f}"
        objective, seconds = cell.result.objective.name, cell.result.seconds.total
        self._say(f"{told}: test {objective} {value} in {seconds:.0f} s")

    def _say(self, text: str) -> None:
        print_line(self._console, f"{self._place} {text}")


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
