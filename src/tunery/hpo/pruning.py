"""Reports every epoch to the study and gives the trial up when the pruner says so."""

import math
from typing import Any, final

from optuna import Trial, TrialPruned
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


@final
class Pruning(TrainerCallback):
    """Raises `TrialPruned` out of `fit`; an epoch that a resumed trial repeats is reported once."""

    def __init__(self, trial: Trial, *, objective: str) -> None:
        self._trial = trial
        self._objective = objective

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """Report the objective of this epoch, then ask."""
        value, epoch = given["metrics"][self._objective], math.ceil(state.epoch or 0)
        known = self._trial.study.get_trials(deepcopy=False)[self._trial.number].intermediate_values
        if value is not None and epoch not in known:
            self._trial.report(value, epoch)
        if self._trial.should_prune():
            raise TrialPruned(f"worse than the median of earlier trials after epoch {epoch}")
