"""Progress a person can follow: a live bar on a terminal, plain lines elsewhere, always on standard error."""

import time
from typing import Any, final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunery.terminal import Terminal


@final
class ConsoleProgress(TrainerCallback):
    """Shows steps, loss and the objective after each epoch."""

    def __init__(self, terminal: Terminal, *, title: str, objective: str) -> None:
        self._terminal = terminal
        self._title = title
        self._objective = objective
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._started = time.perf_counter()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Open the bar, or say what begins."""
        self._started = time.perf_counter()
        if self._terminal.is_terminal:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=self._terminal, transient=True)
            self._task = self._bar.add_task(self._title, total=state.max_steps, completed=state.global_step)
            self._bar.start()
        else:
            resumed = f", resumed at step {state.global_step}" if state.global_step else ""
            self.say(f"{state.max_steps} steps{resumed}")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=state.global_step)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """One line per epoch."""
        metrics = given["metrics"]
        value, loss = metrics[self._objective], metrics["loss"]
        shown = "undefined" if value is None else f"{value:.4f}"
        elapsed = time.perf_counter() - self._started
        epoch = f"epoch {state.epoch or 0:.4g}/{args.num_train_epochs:g}"
        self.say(f"{epoch}  validation {self._objective} {shown}  loss {loss:.4f}  {elapsed:.0f} s")

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Take the bar away."""
        self.close()

    def close(self) -> None:
        """Stop drawing; safe to call twice."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def say(self, text: str) -> None:
        """One line, above the bar where there is one."""
        self._terminal.say(f"{self._title}: {text}")
