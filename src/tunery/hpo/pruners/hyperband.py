"""Hyperband, on any view of a study: optuna's own reads the whole study again and refuses several objectives."""

import math
from typing import final

from optuna import Study
from optuna.pruners import BasePruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial

from tunery.hpo.optuna_private import view


@final
class Hyperband(BasePruner):
    """Successive halvings that begin to decide at different epochs; a trial takes part in one of them, by its number.

    An eager one has more trials, in the proportions of Li et al. 2018 (arXiv 1603.06560), algorithm 1.
    """

    def __init__(self, *, least: int, most: int, factor: int) -> None:
        """Args:
        least: epochs before the first decision of the most eager bracket.
        most: epochs of the longest trial.
        factor: one of so many trials goes on at each decision.
        """
        latest = max(0, math.floor(math.log(max(1.0, most / least), factor) + 1e-9))
        self._halvings = [SuccessiveHalvingPruner(least, factor, rate) for rate in range(latest + 1)]
        shares = [math.ceil((latest + 1) * factor**rest / (rest + 1)) for rest in range(latest, -1, -1)]
        # each bracket as often as its share says, spread evenly
        turns = [((turn + 0.5) / share, bracket) for bracket, share in enumerate(shares) for turn in range(share)]
        self._turns = [bracket for _, bracket in sorted(turns)]

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Ask the bracket of the trial, which knows its own trials alone."""
        bracket = self.bracket(trial.number)
        trials = [other for other in study.get_trials(deepcopy=False) if self.bracket(other.number) == bracket]
        return self._halvings[bracket].prune(view(study, trials), trial)

    def bracket(self, number: int) -> int:
        """The bracket of a trial; 0 is the most eager one."""
        return self._turns[number % len(self._turns)]
