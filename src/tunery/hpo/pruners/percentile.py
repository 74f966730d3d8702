"""Stopping a trial by its rank among those before it."""

from typing import final

from optuna import Study
from optuna.pruners import BasePruner, PercentilePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tunery.schema.results.direction import Direction, best_of, is_better


@final
class PercentileWithTies(BasePruner):
    """Optuna's percentile pruner, where equals have the mean of their ranks.

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
        self._by_value = PercentilePruner(percentile, startup_trials, warmup_epochs + 1)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether a trial is pruned after its latest epoch."""
        return self._by_value.prune(study, trial) or self._is_low_among_equals(study, trial)

    def _is_low_among_equals(self, study: Study, trial: FrozenTrial) -> bool:
        epoch, completed = trial.last_step, study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if epoch is None or epoch <= self._warmup_epochs or len(completed) < self._startup_trials:
            return False
        direction: Direction = "maximize" if study.direction is StudyDirection.MAXIMIZE else "minimize"
        best = best_of(trial.intermediate_values.values(), direction)
        others = [other.intermediate_values[epoch] for other in completed if epoch in other.intermediate_values]
        equals = others.count(best)
        better = sum(is_better(other, best, direction=direction) for other in others)
        return equals > 0 and better > 0 and better + equals / 2 > self._share * len(others)
