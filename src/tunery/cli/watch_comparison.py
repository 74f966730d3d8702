"""What a person sees while a comparison runs."""

from typing import final

from tunery.schema.config.peft import method_name
from tunery.schema.results.comparison import Cell
from tunery.terminal import Terminal


@final
class ComparisonConsole:
    """One line when a cell begins and one when it ends; between them the cell's own process shows its epochs."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._position = ""

    def started(self, title: str, *, number: int, total: int) -> None:
        """Say which one of how many."""
        self._position = f"[{number}/{total}]"
        self.say(f"{title} …")

    def ended(self, record: Cell) -> None:
        """Its score and seconds, or why it failed."""
        outcome = f"{method_name(record.method)} seed {record.seed} {record.status}"
        if record.result is None:
            self.say(f"{outcome}: {record.reason}")
            return
        value = "undefined" if record.value is None else f"{record.value:.4f}"
        objective, seconds = record.result.objective.name, record.result.seconds.total
        where = "test" if record.result.metrics.oof is None else "out of fold"
        self.say(f"{outcome}: {where} {objective} {value} in {seconds:.0f} s")

    def say(self, text: str) -> None:
        """One line, beginning with which cell of how many is at work."""
        self._terminal.say(f"{self._position} {text}".lstrip())
