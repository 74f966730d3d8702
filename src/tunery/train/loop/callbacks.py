"""What happens around the steps: records, best weights, early stopping, resume points, signals."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, final

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunery.model.build import Built
from tunery.model.peft.method import RankAllocator
from tunery.model.trainable import trainable_state
from tunery.schema import RunConfig
from tunery.schema.config.checkpoint import Checkpoint
from tunery.schema.results.direction import Direction, is_better
from tunery.schema.results.run import CheckpointRecord
from tunery.store.folder import RunFolder
from tunery.store.objects.objects import Reference, room_for
from tunery.store.study import StudyStore
from tunery.tracking.jsonl import read_metrics
from tunery.tracking.table import make_trackers
from tunery.tracking.tracker import Tracker
from tunery.train.loop.resume import Snapshot, publish
from tunery.train.signals import Signals

_RECORD: Final = 2**16
"""Bytes of `progress.json`, at most."""


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
    own = f"validation/{name}"
    return [line["value"] for line in read_metrics(metrics, own) if line["name"] == own and line["step"] <= until]


@final
class RecordMetrics(TrainerCallback):
    """Sends losses and validation metrics to the trackers."""

    def __init__(
        self, trackers: Sequence[Tracker], *, config: RunConfig, measured: Callable[[], Mapping[str, float]]
    ) -> None:
        """Args:
        measured: what there is to say of the step that was taken last, by name.
        """
        self._trackers = trackers
        self._log_every = config.train.log_every
        self._names = tuple(config.task.all_metrics)
        self._measured = measured

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Open the trackers at the step where training goes on."""
        for tracker in self._trackers:
            tracker.start(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Log the loss of every `log_every`-th step: no mean over steps, so that a resumed run logs the same."""
        if state.global_step % self._log_every == 0:
            self._log(state, {f"train/{name}": value for name, value in self._measured().items()})

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


def record_only_epoch(config: RunConfig, folder: RunFolder, metrics: Mapping[str, Any]) -> None:
    """Send the validation metrics of a run of one step to the trackers."""
    arguments, state = TrainingArguments(str(folder.staging), report_to=[]), TrainerState(global_step=1, epoch=1.0)
    record = RecordMetrics(make_trackers(config.tracking, folder.path), config=config, measured=dict)
    control = TrainerControl()
    record.on_train_begin(arguments, state, control)
    record.on_evaluate(arguments, state, control, metrics=metrics)
    record.on_train_end(arguments, state, control)


@final
class AllocateRanks(TrainerCallback):
    """Lets a method change itself after every optimizer step, before the gradients are cleared."""

    def __init__(self, rank_allocator: RankAllocator) -> None:
        self._rank_allocator = rank_allocator

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """The Trainer counts the step only after this event."""
        self._rank_allocator.after_step(state.global_step + 1)


@final
class FollowMetric(TrainerCallback):
    """Tells a learning rate schedule that depends on it how good every epoch was."""

    def __init__(self, metric: str, observe: Callable[[float | None], None]) -> None:
        self._metric = metric
        self._observe = observe

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """The value is None where the metric is undefined."""
        self._observe(given["metrics"][self._metric])


@final
class KeepBest(TrainerCallback):
    """Stores the trained weights of the best epoch so far, and of those with the same value."""

    def __init__(
        self, store: StudyStore, folder: RunFolder, built: Built, *, config: RunConfig, reference: Reference | None
    ) -> None:
        self._store = store
        self._folder = folder
        self._built = built
        self._config = config
        self._reference = reference

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """`keep` this epoch, and what `checkpoint.keep_after` asks for."""
        epoch = state.epoch or 0.0
        self.keep(given["metrics"], step=state.global_step, epoch=epoch)
        if epoch in self._config.checkpoint.keep_after:
            self._store.write(_RECORD, partial(self._keep_rung, int(epoch)))

    def keep(self, metrics: Mapping[str, Any], *, step: int, epoch: float) -> None:
        """Keep an epoch where `epochs_to_keep` says so; weights of others go when no resume point needs them."""
        rule = self._config.checkpoint
        keep = partial(epochs_to_keep, direction=self._config.direction, most=rule.co_best)
        new = CheckpointRecord(
            kind="best",
            step=step,
            epoch=epoch,
            digest="",
            bytes=0,
            value=metrics[self._config.objective],
            metrics=metrics,
        )
        if all(record.step != new.step for record in keep(self._folder.kept(), new)):
            return
        weights = trainable_state(self._built)

        def store() -> None:
            digest, size = self._folder.objects.put(weights, reference=self._reference)
            stored = new.model_copy(update={"digest": digest, "bytes": size})
            self._folder.write_kept(keep(self._folder.kept(), stored))

        self._store.write(room_for(weights), store)
        self._store.tidy()

    def _keep_rung(self, epoch: int) -> None:
        """Keep the best so far, whatever comes later."""
        kept = self._folder.kept()
        rungs = [r.model_copy(update={"kind": "rung", "rung": epoch}) for r in kept if r.kind == "best"]
        self._folder.write_kept((*(record for record in kept if record.rung != epoch), *rungs))


def epochs_to_keep(
    kept: Sequence[CheckpointRecord], new: CheckpointRecord, *, direction: Direction, most: int
) -> tuple[CheckpointRecord, ...]:
    """Which epochs stay when another was scored, best first: those with the best value, `most` at most, then the rungs.

    Of epochs with the same value the one with the lower validation loss is better, and then the earlier one. An
    undefined value is the worst.
    """
    rungs = [record for record in kept if record.kind == "rung"]
    kept = [record for record in kept if record.kind != "rung"]
    best = kept[0].value if kept else None
    if kept and (new.value is None or (best is not None and is_better(best, new.value, direction=direction))):
        return (*kept, *rungs)
    equal = [*kept, new] if kept and new.value == best else [new]
    ordered = sorted(equal, key=lambda record: (record.metrics["loss"], record.step))[:most]
    ranked = (record.model_copy(update={"kind": "co_best" if rank else "best"}) for rank, record in enumerate(ordered))
    return (*ranked, *rungs)


@final
class StopEarly(TrainerCallback):
    """Ends training when the watched metric has not improved for `patience` epochs, and says so."""

    def __init__(self, metrics: Path, config: RunConfig, *, patience: int | None, say: Callable[[str], None]) -> None:
        """Args:
        patience: None: training never ends early.
        """
        self._metrics = metrics
        self._name = config.watched
        self._direction = config.task.all_metrics[config.watched]
        self._rule = config.train.early_stopping
        self._patience = patience
        self._say = say

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Say what may end training, where something may."""
        if self._patience is not None and self._patience < args.num_train_epochs:
            rule = f"stops after {self._patience} epochs without a better {self._name}"
            self._say(f"at most {args.num_train_epochs:g} epochs; {rule}")

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Stop after this epoch if the rule says so."""
        control.should_training_stop |= self.is_over(state.global_step)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Say that the rule ended training, after all that others say of the epoch."""
        if self.is_over(state.global_step) and state.global_step < state.max_steps:
            self._say(f"stopped after epoch {state.epoch:g}: {self._patience} epochs without a better {self._name}")

    def is_over(self, step: int) -> bool:
        """Whether the rule ended the run by `step`: counted in the run's own record, which survives interruptions."""
        if self._rule is None or self._patience is None:
            return False
        values = history(self._metrics, self._name, until=step)
        waited = epochs_without_improvement(values, direction=self._direction, min_delta=self._rule.min_delta)
        return waited >= self._patience


@final
class SaveResumePoints(TrainerCallback):
    """Scores after every epoch and saves a resume point there, and where else it was asked for; on a signal, saves at
    once and stops."""

    def __init__(
        self,
        store: StudyStore,
        folder: RunFolder,
        rule: Checkpoint,
        *,
        signals: Signals,
        snapshot: Callable[[], Snapshot],
        reference: Reference | None,
        write_progress: Callable[[int], object],
    ) -> None:
        """Args:
        snapshot: what is saved, after the step that was taken last.
        reference: what the weights are stored against.
        write_progress: is told, before every point, of the bytes that all points of this process would take
            uncompressed.
        """
        self._store = store
        self._folder = folder
        self._rule = rule
        self._signals = signals
        self._snapshot = snapshot
        self._reference = reference
        self._write_progress = write_progress
        self.written_bytes = 0

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Leave after the step in which a signal came; at the end of an epoch the score is still taken."""
        stop = self._signals.stop_requested()
        control.should_training_stop |= stop
        if not _is_epoch_end(state):
            is_due = isinstance(self._rule.every, int) and state.global_step % self._rule.every == 0
            control.should_save = self._rule.keep_last > 0 and (stop or is_due)

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Score, then save. This is also called where a signal ended an epoch early."""
        if _is_epoch_end(state):
            control.should_evaluate = True
            control.should_save = self._rule.keep_last > 0

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Record what the run has cost by now: whether it is pruned after this epoch may depend on it."""
        self._store.write(_RECORD, partial(self._write_progress, self.written_bytes))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Publish a resume point and free what it replaces."""
        snapshot = self._snapshot()
        self.written_bytes += snapshot.nbytes()

        def save() -> None:
            self._write_progress(self.written_bytes)
            publish(snapshot, self._folder, step=state.global_step, reference=self._reference)

        self._store.write(snapshot.room(), save)
        self._store.tidy()


def _is_epoch_end(state: TrainerState) -> bool:
    """Whether an epoch is scored after this step: it is complete, or the last one."""
    return float(state.epoch or 0.0).is_integer() or state.global_step >= state.max_steps
