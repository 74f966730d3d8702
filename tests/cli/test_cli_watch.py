"""What is said while trials run, beside bars that other processes draw."""

import io

import pytest

from tunery.cli.watch_study import StudyConsole
from tunery.schema.results.study import TrialRecord
from tunery.terminal import Terminal

RECORD = TrialRecord(
    number=4,
    status="pruned",
    value=0.25,
    params={"optim.lr": 0.000123, "peft.target": ["query", "value"]},
    seconds=12.4,
    epochs=2,
    reason="below the median after epoch 2",
    notes=("continued by another process",),
)
LINE = (
    "trial 4 pruned 0.2500 in 12 s: optim.lr=0.000123, peft.target=query, value (below the median after epoch 2);"
    " continued by another process\n"
)


class Written(io.StringIO):
    """Remembers every call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def write(self, text: str) -> int:
        self.calls.append(text)
        return super().write(text)


def console(*, terminal: bool) -> tuple[StudyConsole, Written]:
    file = Written()
    return StudyConsole(Terminal(file=file, force_terminal=terminal, width=40, color_system=None)), file


def test_a_line_wipes_the_bar_that_stands_there_and_is_written_at_once() -> None:
    observer, file = console(terminal=True)
    observer.ended(RECORD)
    assert file.calls == [f"\r\x1b[2K{LINE}"]


def test_what_is_no_terminal_gets_the_line_alone() -> None:
    observer, file = console(terminal=False)
    observer.ended(RECORD)
    observer.say("[bold]waiting[/bold] for room:\n3 MB more are needed")
    assert file.calls == [LINE, "[bold]waiting[/bold] for room: 3 MB more are needed\n"]


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_a_trial_says_how_it_ended(status: str) -> None:
    observer, file = console(terminal=False)
    plain = {"status": status, "value": None, "reason": None, "notes": (), "params": {}}
    observer.ended(RECORD.model_copy(update=plain))
    assert file.getvalue() == f"trial 4 {status} in 12 s\n"
