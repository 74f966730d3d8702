"""Trains runs in the process that asks for it: in tests, in a notebook, in the process of one run."""

import gc
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, final

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunery.errors import DataError
from tunery.execution.outcomes import Pruned, outcome_of_error
from tunery.execution.runner import Epoch, Job, Outcome, Prune, Runner, Stop
from tunery.schema.results.run import FoldRecord
from tunery.store.disk.lock import holder
from tunery.store.disk.ownership import FOLDS
from tunery.store.disk.run_lock import OTHER_DATA, data_changes
from tunery.store.folder import RunFolder
from tunery.terminal import Terminal
from tunery.train.fit import fit
from tunery.train.loop.console import ConsoleProgress
from tunery.train.run_report import write_run_page
from tunery.train.setup.prepare import prepare

_PATIENCE: Final = 60.0
"""Seconds that a run waits for another process to leave its folder."""
_PAUSE: Final = 0.1
_OWN_FAULT: Final = ("pruned", "failed", "out_of_memory")
"""Outcomes that the run itself has brought about."""


@final
class InThisProcess(Runner):
    """`fit`, with whatever it raises turned into an outcome. What crashes this process is not contained."""

    def __init__(self, callbacks: Sequence[TrainerCallback] = ()) -> None:
        """Args:
        callbacks: watch the training of every run; they are called after `prune`.
        """
        self._callbacks = tuple(callbacks)

    def run(self, job: Job, *, prune: Prune, stop: Stop) -> Outcome:
        """Train it here; what `prune` raises is raised."""
        terminal = Terminal(stderr=True, force_terminal=None if job.alone else False)
        progress = ConsoleProgress(terminal, title=job.title, objective=job.config.objective)
        pruner = _PruneAfterEpoch(job, prune)
        try:
            _wait_for_other_process(job.folder, stop)
            _require_same_rows(job)
            result = fit(
                job.config,
                [progress, pruner, *self._callbacks],
                out=job.folder,
                study=job.study,
                comparison=job.comparison,
                say=progress.say,
                stop=stop,
                trust_remote_code=job.trust_remote_code,
                folds=job.folds,
                fold_ended=pruner.after_fold,
            )
            if job.study is None:
                write_run_page(job.folder)
        except Exception as error:
            if error is pruner.failure:
                raise
            outcome = outcome_of_error(error)
            if job.study is None and outcome.status in _OWN_FAULT:
                _forget_weights(RunFolder(job.folder))
            return outcome
        finally:
            progress.close()
            gc.collect()  # models are full of cycles, and the next one may need the room
            torch.cuda.empty_cache()
        return Outcome(result.status, result.reason)

    def close(self) -> None:
        """Nothing serves the runs."""


def _wait_for_other_process(folder: Path, stop: Stop) -> None:
    """Wait until the folder is free: a process of a study that was killed may still be saving its state there."""
    until = time.monotonic() + _PATIENCE
    while holder(folder) is not None and stop() is None and time.monotonic() < until:
        time.sleep(_PAUSE)


def _require_same_rows(job: Job) -> None:
    """Raises:
    DataError: when the rows are not those that the run must see.
    """
    if job.data is not None:
        now = prepare(job.config, trust_remote_code=job.trust_remote_code).record()
        if changed := data_changes(job.data, now):
            raise DataError(f"the comparison was begun with other data: {changed}; {OTHER_DATA}")


def _forget_weights(folder: RunFolder) -> None:
    """A run that failed by itself would fail again from its last resume point. The weights of a trial are left to its
    study."""
    folder.resume.clear()
    folder.write_kept(())
    folder.objects.clear()


@final
class _PruneAfterEpoch(TrainerCallback):
    """Asks after every epoch, when all is recorded, whether the run is pruned, and ends it with `Pruned`. Of
    cross-validation these are the epochs of the first fold, which all trials have in common; then it asks after every
    fold."""

    def __init__(self, job: Job, prune: Prune) -> None:
        is_cross_validated = job.config.data.cross_validates
        self._folder = RunFolder(job.folder / FOLDS / "0" if is_cross_validated else job.folder)
        self._objective, *further = job.config.objectives
        self._further = [name for name in further if name in job.config.task.all_metrics]
        self._prune = prune
        self._is_in_first_fold = True
        self.failure: Exception | None = None
        """What `prune` has raised: an error of the study, not of the run."""

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """The epoch's resume point is saved after this: a run that is pruned has none of it."""
        if not self._is_in_first_fold:
            return
        number, metrics = math.ceil(state.epoch or 0), given["metrics"]
        further = {name: metrics[name] for name in self._further}
        self._ask(Epoch(number, metrics[self._objective], self._folder.progress(), further))

    def after_fold(self, record: FoldRecord) -> None:
        """The last fold is asked about too, so that its score is known to others."""
        self._is_in_first_fold = False
        self._ask(Epoch(record.fold + 1, record.value, self._folder.progress(), is_fold=True))

    def _ask(self, epoch: Epoch) -> None:
        try:
            reason = self._prune(epoch)
        except Exception as error:
            self.failure = error
            raise
        if reason is not None:
            raise Pruned(reason)
