"""What happens around the steps: records, best weights, early stopping, resume points, signals."""

import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, final

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunery.model.build import Built
from tunery.model.method import Regulator
from tunery.model.owned import owned_state
from tunery.schema import RunConfig
from tunery.schema.metrics import METRICS, Direction
from tunery.schema.results import CheckpointRecord
from tunery.store.folder import RunFolder
from tunery.tracking.jsonl import read_metrics
from tunery.tracking.tracker import Tracker
from tunery.train.trainer import TuneryTrainer

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def is_better(value: float, than: float, *, direction: Direction, by: float = 0.0) -> bool:
    """Whether `value` improves on `than` by more than `by`."""
    return value - than > by if direction == "maximize" else than - value > by


def epochs_without_improvement(history: Sequence[float | None], *, direction: Direction, min_delta: float) -> int:
    """How many of the last epochs did not improve on the best before them; an undefined value is no improvement."""
    best, waited = None, 0
    for value in history:
        if value is not None and (best is None or is_better(value, best, direction=direction, by=min_delta)):
            best, waited = value, 0
        else:
            waited += 1
    return waited


def history(metrics: Path, name: str, *, until: float = math.inf) -> list[float | None]:
    """The validation values of one metric, epoch by epoch, up to a step."""
    lines = (line for line in read_metrics(metrics) if line["step"] <= until)
    return [line["value"] for line in lines if line["name"] == f"validation/{name}"]


@final
class Record(TrainerCallback):
    """Sends losses and validation metrics to the trackers."""

    def __init__(self, trackers: Sequence[Tracker], *, log_every: int, task_kind: str) -> None:
        self._trackers = trackers
        self._log_every = log_every
        self._names = tuple(METRICS[task_kind])
        self.trainer: TuneryTrainer | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Open the trackers at the step where training goes on."""
        for tracker in self._trackers:
            tracker.start(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Log the loss of every `log_every`-th step: no mean over steps, so that a resumed run logs the same."""
        if state.global_step % self._log_every == 0 and self.trainer is not None:
            values = {"loss": self.trainer.step_loss.item(), "lr": self.trainer.learning_rate()}
            named = {**values, **self.trainer.learned()}
            self._log(state, {f"train/{name}": value for name, value in named.items()})

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """Log the scalar metrics of the epoch."""
        self._log(state, {f"validation/{name}": given["metrics"][name] for name in self._names})

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close the trackers."""
        for tracker in self._trackers:
            tracker.finish()

    def _log(self, state: TrainerState, values: dict[str, float | None]) -> None:
        for tracker in self._trackers:
            tracker.log(state.global_step, round(state.epoch or 0.0, 6), values)


@final
class Regulate(TrainerCallback):
    """Lets a method change itself after every optimizer step, before the gradients are cleared."""

    def __init__(self, regulator: Regulator) -> None:
        self._regulator = regulator

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """The Trainer counts the step only after this event."""
        self._regulator.after_step(state.global_step + 1)


@final
class FollowMetric(TrainerCallback):
    """Tells a learning rate schedule that depends on it how good every epoch was."""

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self.observe: Callable[[float | None], None] | None = None

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """The value is None where the metric is undefined."""
        if self.observe is not None:
            self.observe(given["metrics"][self._metric])


@final
class KeepBest(TrainerCallback):
    """Stores the owned weights of the best epoch so far."""

    def __init__(self, folder: RunFolder, built: Built, *, objective: str, direction: Direction) -> None:
        self._folder = folder
        self._built = built
        self._objective = objective
        self._direction = direction

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """Replace the best weights where this epoch improves on them."""
        metrics = given["metrics"]
        value, best = metrics[self._objective], self._folder.best()
        if best is not None and best.step >= state.global_step:
            best = None  # from a process that went further than its last resume point
        if best is not None and (value is None or not self._improves(value, best.value)):
            return
        digest, size = self._folder.objects.put(owned_state(self._built))
        at = {"step": state.global_step, "epoch": state.epoch or 0.0}
        stored = {"digest": digest, "bytes": size}
        self._folder.write_best(CheckpointRecord(kind="best", value=value, metrics=metrics, **at, **stored))

    def _improves(self, value: float, best: float | None) -> bool:
        return best is None or is_better(value, best, direction=self._direction)


@final
class StopEarly(TrainerCallback):
    """Ends training when the watched metric has not improved for `patience` epochs."""

    def __init__(self, metrics: Path, config: RunConfig) -> None:
        self._metrics = metrics
        self._name = config.watched
        self._direction = METRICS[config.task.kind][config.watched]
        self._rule = config.train.early_stopping

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Stop after this epoch if the rule says so."""
        control.should_training_stop |= self.is_over(state.global_step)

    def is_over(self, step: int) -> bool:
        """Whether the rule ended the run by `step`: counted in the run's own record, which survives interruptions."""
        if self._rule is None:
            return False
        values = history(self._metrics, self._name, until=step)
        waited = epochs_without_improvement(values, direction=self._direction, min_delta=self._rule.min_delta)
        return waited >= self._rule.patience


@final
class SaveResumePoints(TrainerCallback):
    """Scores after every epoch, saves a resume point, and publishes it; on a signal, saves at once and stops."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.interrupted_by: str | None = None
        self.written_bytes = 0

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Leave after the step in which a signal came."""
        if self.interrupted_by is not None:
            control.should_save = self._folder.resume.keep_last > 0
            control.should_training_stop = True

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Score, then save."""
        if self.interrupted_by is None:
            control.should_evaluate = True
            control.should_save = self._folder.resume.keep_last > 0

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Publish the checkpoint that the Trainer has staged."""
        staged = self._folder.staging / f"checkpoint-{state.global_step}"
        self.written_bytes += self._folder.resume.publish(staged, step=state.global_step)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Turn SIGINT and SIGTERM into a save at the end of the step; a second one stops the process at once."""

        def note(number: int, frame: FrameType | None) -> None:
            self.interrupted_by = signal.Signals(number).name
            signal.signal(number, before[number])

        main = threading.current_thread() is threading.main_thread()
        before: dict[int, Any] = {number: signal.getsignal(number) for number in _SIGNALS if main}
        try:
            for number in before:
                signal.signal(number, note)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
