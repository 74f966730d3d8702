"""Stopping a trial by its rank among those before it."""

from typing import final

from optuna import Study
from optuna.pruners import BasePruner, PercentilePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


@final
class Ranks(BasePruner):
    """Optuna's percentile pruner, and a place for equals: the middle of their ranks.

    Where classes are imbalanced, models that have learnt nothing yet name the largest class and score the same to the
    last digit. Where they are many their score is the percentile, and optuna, which stops what is below it, stops none.
    What optuna stops is stopped here too; what is as good as the best is not.
    """

    def __init__(self, percentile: float, *, startup_trials: int, warmup_epochs: int) -> None:
        """Args:
        percentile: per cent of trials that go on.
        """
        self._share = percentile / 100
        self._startup_trials = startup_trials
        self._warmup_epochs = warmup_epochs
        self._values = PercentilePruner(percentile, startup_trials, warmup_epochs + 1)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Judge a trial after its latest epoch."""
        return self._values.prune(study, trial) or self._is_low_among_equals(study, trial)

    def _is_low_among_equals(self, study: Study, trial: FrozenTrial) -> bool:
        epoch, completed = trial.last_step, study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if epoch is None or epoch <= self._warmup_epochs or len(completed) < self._startup_trials:
            return False
        sign = -1 if study.direction is StudyDirection.MINIMIZE else 1
        best = max(sign * value for value in trial.intermediate_values.values())
        others = [sign * known.intermediate_values[epoch] for known in completed if epoch in known.intermediate_values]
        equals = others.count(best)
        better = sum(other > best for other in others)
        return equals > 0 and better > 0 and better + equals / 2 > self._share * len(others)
