"""One run in this process: from its newest resume point, or the start, to the end of training."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, final

from transformers import TrainerCallback

from tunery.data.row_table import RowTable
from tunery.errors import Interrupted
from tunery.hardware import peak_memory
from tunery.model.trainable import count_parameters
from tunery.optim.adversarial import make_adversarial_training
from tunery.schema.results.run import FrozenLayers, Memory, Progress, Seconds, Start, Tokens
from tunery.store.folder import RunFolder
from tunery.store.study import StudyStore
from tunery.tracking.table import make_trackers
from tunery.train.loop.callbacks import (
    AllocateRanks,
    FollowMetric,
    KeepBest,
    RecordMetrics,
    SaveResumePoints,
    StopEarly,
)
from tunery.train.loop.clock import Clock
from tunery.train.loop.finite import LossWatch, StopWhereNotFinite
from tunery.train.loop.frozen_rows import FrozenRows
from tunery.train.loop.resume import read
from tunery.train.loop.trainer import TuneryTrainer, training_arguments
from tunery.train.predict.scoring import Known, answers_about, nothing_known, score
from tunery.train.setup.assemble import Assembled
from tunery.train.setup.environment import changed_environment, environment
from tunery.train.signals import Signals


@final
class Training:
    """A trainer with its callbacks, and what the run has cost by now, earlier processes included."""

    def __init__(
        self,
        run: Assembled,
        store: StudyStore,
        folder: RunFolder,
        callbacks: Sequence[TrainerCallback],
        *,
        clock: Clock,
        signals: Signals,
        started_from: Start | None,
    ) -> None:
        """Args:
        callbacks: act after tunery's own.
        started_from: the run that this one went on from.
        """
        config, built, watch = run.config, run.built, LossWatch(run.device)
        self._run = run
        self._store = store
        self._folder = folder
        self._clock = clock
        self._signals = signals
        self._started_from = started_from
        self._before = before = folder.progress()
        self._frozen_rows = FrozenRows(run, store, folder, before=before.frozen_layers, signals=signals)
        self._trainer = TuneryTrainer(
            built,
            training_arguments(config, folder.staging, epochs=run.epochs, device=run.device, precision=run.precision),
            loader=run.loader(),
            objective=run.objective,
            watch=watch,
            adversarial=make_adversarial_training(config.regularization.adversarial, built.embeddings),
            precision=run.precision,
            lr=config.lr,
            optimizer=run.optimizer,
            schedule=run.schedule,
            score=self._score,
            known=partial(self._frozen_rows.answers, "train"),
        )
        self._stop_early = StopEarly(folder.metrics, config, patience=run.patience, say=store.say)
        self._saver = SaveResumePoints(
            store,
            folder,
            config.checkpoint,
            signals=signals,
            snapshot=self._trainer.snapshot,
            reference=run.reference,
            write_progress=self._write_progress,
        )
        # in the order in which they have to act: what is not finite is neither logged nor kept
        for callback in (
            *([AllocateRanks(built.rank_allocator)] if built.rank_allocator else []),
            StopWhereNotFinite(watch, log_every=config.train.log_every, rows_of=run.row_ids),
            RecordMetrics(make_trackers(config.tracking, folder.path), config=config, measured=self._trainer.measured),
            KeepBest(store, folder, built, config=config, reference=run.reference),
            FollowMetric(config.objective, self._trainer.observe),
            self._stop_early,
            self._saver,
            *callbacks,
        ):
            self._trainer.add_callback(callback)

    def finish(self, *, start_over: Callable[[], object] | None) -> Progress:
        """Train to the end. Returns what the run has cost.

        Args:
            start_over: gives the model the weights that the run began with, where a resume point should have made that
                needless, and there is none.

        Raises:
            Interrupted: when something asked to leave; a resume point was saved, if the config keeps any.
        """
        run, signals = self._run, self._signals
        try:
            with signals.deferred(), self._clock.phase("train"):
                step = self._resume()
                if step is None and start_over is not None:
                    start_over()
                if step is None or (step < run.steps and not self._stop_early.is_over(step)):
                    self._trainer.go_on()
                # accelerate has wrapped `forward` for its mixed precision; scoring and export do without
                self._trainer.accelerator.unwrap_model(run.built.module, keep_fp32_wrapper=False)
        except BaseException:
            with suppress(OSError):  # a full disk must not hide what happened
                self._write_progress(self._saver.written_bytes)
            raise
        progress = self._write_progress(self._saver.written_bytes)
        if signals.stop_requested():
            goes_on = "resumes it" if run.config.checkpoint.keep_last else "starts it over"
            step = self._trainer.state.global_step
            raise Interrupted(f"{signals.by} came at step {step}; the same command {goes_on}")
        return progress

    def _resume(self) -> int | None:
        """Go back to the newest whole resume point. Returns its step; None where there is none."""
        run, before = self._run, self._before.environment
        latest = self._store.resume_run(
            self._folder, partial(read, objects=self._folder.objects, reference=run.reference)
        )
        if latest is None:
            return None
        point, snapshot = latest
        self._trainer.restore(snapshot)
        now = environment(run.device, precision=run.precision, reason=run.precision_reason)
        if before is not None and (changed := changed_environment(before, now)):
            self._store.say(
                f"goes on under other conditions ({changed}): the last digits may differ from those of an unbroken run"
            )
        return point.step

    def _score(self) -> dict[str, Any]:
        """Metrics of validation."""
        with self._clock.phase("evaluate"):
            return validation_score(self._run, known=partial(self._frozen_rows.answers, "validation"))

    def _write_progress(self, written_bytes: int) -> Progress:
        """Record what the run has cost by now.

        Args:
            written_bytes: that all resume points of this process would take uncompressed.
        """
        progress = progress_of(
            self._run,
            self._before,
            tokens=self._trainer.tokens,
            epochs=self._trainer.state.epoch,
            changed_rows=self._trainer.changed_rows,
            seconds=self._clock.seconds(),
            written_bytes=written_bytes,
            started_from=self._started_from,
            frozen_layers=self._frozen_rows.record,
        )
        self._folder.write_progress(progress)
        return progress


def validation_score(run: Assembled, *, known: Known = nothing_known) -> dict[str, Any]:
    """Metrics of validation by the model as it is now, and the state that they fit."""
    prepared = run.prepared
    return score(prepared.task, split_answers(run, "validation", known=known), prepared.truth["validation"])


def split_answers(run: Assembled, split: str, *, known: Known = nothing_known) -> RowTable:
    """What the task needs of the answers about a split by the model as it is now."""
    prepared = run.prepared
    return answers_about(
        prepared.encoded[split],
        run.built.module,
        prepared.task,
        pad_id=prepared.tokenizer.pad_token_id,
        batch_size=run.config.train.eval_batch_size,
        max_tokens=run.budget.eval_tokens if run.budget else None,
        device=run.device,
        precision=run.precision,
        known=known,
    )


def progress_of(
    run: Assembled,
    before: Progress,
    *,
    tokens: Tokens,
    epochs: float | None,
    seconds: Seconds,
    written_bytes: int,
    started_from: Start | None,
    changed_rows: int = 0,
    frozen_layers: FrozenLayers | None = None,
) -> Progress:
    """What a run has cost by now.

    Args:
        before: by earlier processes.
        tokens: that this process has trained on.
        epochs: of the whole run; None: as many as before.
        changed_rows: that augmentation has changed in this process.
        frozen_layers: what of the model was computed once.
        seconds: of the whole run.
    """
    return Progress(
        parameters=count_parameters(run.built),
        seconds=seconds,
        memory=_highest(before.memory, peak_memory(run.device)),
        tokens=Tokens(real=before.tokens.real + tokens.real, processed=before.tokens.processed + tokens.processed),
        epochs=round(epochs or before.epochs, 4),
        changed_rows=before.changed_rows + changed_rows,
        written_bytes=before.written_bytes + written_bytes,
        environment=environment(run.device, precision=run.precision, reason=run.precision_reason),
        base=run.built.base_digest,
        augmentation_models=run.augmentation_models,
        frozen_layers=frozen_layers,
        micro_batch_tokens=run.micro_batch_tokens,
        data=run.prepared.record(),
        started_from=started_from,
    )


def _highest(before: Memory, now: Memory) -> Memory:
    """The peak over the processes that a run has had."""
    device = [peak for peak in (before.device_peak_bytes, now.device_peak_bytes) if peak is not None]
    host = max(before.host_peak_bytes, now.host_peak_bytes)
    return Memory(host_peak_bytes=host, device_peak_bytes=max(device, default=None))
