"""What a person sees while a study runs."""

from typing import final

from rich.control import Control
from rich.segment import ControlType

from tunery.report.text.formatting import value_text
from tunery.report.text.method_names import params_to_read
from tunery.schema.results.study import TrialRecord
from tunery.terminal import Terminal

_CLEAR = Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))
"""Wipes the line that the cursor is in; written to a terminal alone."""


@final
class StudyConsole:
    """One line when a trial ends; until then its own process shows its epochs, or draws a bar where it runs alone.

    Trials may end in several threads while bars are drawn by other processes: a line is written at once, from the left,
    over the bar that is there. The bar is drawn again below it.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def started(self, title: str, *, number: int, total: int) -> None:
        """Nothing: the trial's own process says what it does."""

    def ended(self, record: TrialRecord) -> None:
        """One line: how it ended, with which parameters."""
        chosen = ", ".join(f"{path}={value_text(value)}" for path, value in params_to_read(record.params).items())
        params = f": {chosen}" if chosen else ""
        value = "" if record.value is None else f" {record.value:.4f}"
        notes = "".join(f"; {note}" for note in record.notes)
        why = f" ({record.reason})" if record.reason else ""
        self.say(f"trial {record.number} {record.status}{value} in {record.seconds:.0f} s{params}{why}{notes}")

    def say(self, text: str) -> None:
        """A line of its own, whatever is drawn."""
        one_line = " ".join(text.splitlines())
        self._terminal.print(_CLEAR, one_line, sep="", soft_wrap=True)
