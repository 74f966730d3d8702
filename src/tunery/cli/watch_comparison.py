"""What a person sees while a comparison runs."""

from typing import final

from tunery.execution.cell_runner import CellJob
from tunery.schema.config.peft import method_name
from tunery.schema.results.comparison import Cell
from tunery.terminal import Terminal


@final
class ComparisonConsole:
    """One line when a cell begins and one when it ends; between them the cell's own process shows its epochs."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._place = ""

    def cell_started(self, job: CellJob, *, number: int, total: int) -> None:
        """Say which one of how many."""
        self._place = f"[{number}/{total}]"
        self.say(f"{job.title} …")

    def cell_ended(self, cell: Cell) -> None:
        """Its score and seconds, or why it failed."""
        told = f"{method_name(cell.method)} seed {cell.seed} {cell.status}"
        if cell.result is None:
            self.say(f"{told}: {cell.reason}")
            return
        value = "undefined" if cell.value is None else f"{cell.value:.4f}"
        objective, seconds = cell.result.objective.name, cell.result.seconds.total
        self.say(f"{told}: test {objective} {value} in {seconds:.0f} s")

    def say(self, text: str) -> None:
        """One line, with the place of the cell that is at work."""
        self._terminal.say(f"{self._place} {text}".lstrip())
