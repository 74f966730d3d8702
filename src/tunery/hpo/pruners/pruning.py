"""Whether a running trial is pruned after an epoch, by one objective or by several."""

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from itertools import product
from statistics import fmean
from typing import Final, final

from optuna import Study, Trial
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import wilcoxon

from tunery.execution.runner import Epoch
from tunery.hpo.optuna_private import id_of_trial, view
from tunery.hpo.pruners.builders import PRUNERS
from tunery.schema.config.search import Pruner as PrunerSpec
from tunery.schema.config.train import Train
from tunery.schema.reading.document import Document
from tunery.schema.reading.fields import ends
from tunery.schema.results.direction import Direction, minimized
from tunery.schema.results.run import Progress

_COSTS: Final = "costs"
"""System attribute of a trial: what it is going to cost, by the latest epoch, in the order of the objectives."""
_METRICS: Final = "metrics"
"""System attribute of a trial: by epoch, the other metrics among the objectives, less is better."""
_FOLDS: Final = "folds"
"""System attribute of a trial: by number of the fold, its score on the rows that were held out."""
_FEWEST_FOLDS: Final = 2
"""Of which a test can be asked."""
_NOISE: Final = 1.05
"""The same run takes a few per cent more or less time and memory: a rival may cost this much more."""


@final
class Pruning:
    """Stores what trials report, and asks the pruner. With several objectives the rivals of a trial are those that cost
    no more and are no worse in the other metrics, so that a cheap trial is never pruned for being worse than costlier
    ones."""

    def __init__(self, study: Study, pruner: PrunerSpec, *, objectives: Mapping[str, Direction], epochs: int) -> None:
        """Args:
        objectives: which way each is better; the first is the metric that pruners look at.
        epochs: those of the longest trial that the study may propose, see `most_epochs`.
        """
        self._study = study
        self._name = pruner.name.replace("_", " ")
        self._pruner = PRUNERS[type(pruner)](pruner, epochs)
        self._objective, *further = objectives
        self._direction = objectives[self._objective]
        self._costs = [name for name in further if name in _PROJECTIONS]
        self._metrics = {name: objectives[name] for name in further if name not in _PROJECTIONS}

    def prune(self, trial: Trial, epoch: Epoch, *, epochs: int) -> str | None:
        """Why a trial is pruned after an epoch, or None: it goes on.

        After an epoch without a score no trial is pruned, nor after the last of its `epochs`, whose score is only
        stored.
        """
        if epoch.value is None or math.isnan(epoch.value):
            return None
        trials = self._study.get_trials(deepcopy=False)
        frozen = _reported(trial, trials[trial.number], epoch.number, epoch.value)
        costs = [_PROJECTIONS[cost](epoch.progress, epoch.number, epochs) for cost in self._costs]
        if costs:
            trial.storage.set_trial_system_attr(id_of_trial(trial), _COSTS, costs)
            trials = [other for other in trials if _costs_no_more(other, costs)]
        if self._metrics:
            reached = self._store_metrics(trial, frozen, epoch)
            trials = [other for other in trials if _reached_as_much(other, reached, epoch=epoch.number)]
        if epoch.number >= epochs or not self._pruner.prune(view(self._study, trials), frozen):
            return None
        conditions = [f"take no more {' and '.join(self._costs)}"] if costs else []
        conditions += [f"are no worse in {' and '.join(self._metrics)}"] if self._metrics else []
        rivals = f", of trials that {' and '.join(conditions)}" if conditions else ""
        score = f"{self._objective} {epoch.value:.4f}"
        return f"the {self._name} pruner stopped it after epoch {epoch.number}, at {score}{rivals}"

    def prune_after_fold(self, trial: Trial, fold: Epoch, *, p_value: float | None) -> str | None:
        """Why a trial is pruned after a fold, or None: its folds so far are worse than the same ones of the completed
        trial with the best value, by Wilcoxon's signed-rank test, one-sided (Wilcoxon 1945, Biometrics Bulletin 1).

        With several objectives no trial is: a rival may cost more.

        Args:
            p_value: level of the test; None: the score is only stored.
        """
        known = trial.storage.get_trial(id_of_trial(trial)).system_attrs.get(_FOLDS, {})
        folds = {**known, str(fold.number): fold.value}
        trial.storage.set_trial_system_attr(id_of_trial(trial), _FOLDS, folds)
        completed = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        rivals = [other for other in completed if _FOLDS in other.system_attrs]
        if p_value is None or self._costs or self._metrics or not rivals:
            return None
        best = min(rivals, key=lambda other: minimized(other.values[0], self._direction))
        theirs = best.system_attrs[_FOLDS]
        pairs = [(own, other) for number, own in folds.items() if None not in (own, other := theirs.get(number))]
        worse = [minimized(own, self._direction) - minimized(other, self._direction) for own, other in pairs]
        if len(worse) < _FEWEST_FOLDS or not any(worse) or sum(worse) <= 0:
            return None
        found = wilcoxon(worse, zero_method="zsplit", alternative="greater").pvalue
        if found > p_value:
            return None
        means = (fmean(values) for values in zip(*pairs, strict=True))
        scores = " against ".join(f"{mean:.4f}" for mean in means)
        return (
            f"stopped after fold {fold.number}: {self._objective} {scores} of trial {best.number} in the same "
            f"{len(pairs)} folds (Wilcoxon's signed-rank test, p = {found:.2g})"
        )

    def _store_metrics(self, trial: Trial, frozen: FrozenTrial, epoch: Epoch) -> list[float]:
        """Those of an epoch, stored once; the best of each so far, less is better."""
        values = [(epoch.further.get(name), direction) for name, direction in self._metrics.items()]
        now = [math.inf if value is None else minimized(value, direction) for value, direction in values]
        by_epoch = {str(epoch.number): now, **frozen.system_attrs.get(_METRICS, {})}
        trial.storage.set_trial_system_attr(id_of_trial(trial), _METRICS, by_epoch)
        return _best(by_epoch, epoch.number)


def _reported(trial: Trial, frozen: FrozenTrial, epoch: int, value: float) -> FrozenTrial:
    """The trial with the value of an epoch, which is stored once: a trial that goes on may repeat an epoch.

    `Trial.report` does the same, and raises where there are several objectives.
    """
    if epoch in frozen.intermediate_values:
        return frozen
    trial.storage.set_trial_intermediate_value(id_of_trial(trial), epoch, value)
    reported = copy(frozen)
    reported.intermediate_values = {**frozen.intermediate_values, epoch: value}
    return reported


def _costs_no_more(other: FrozenTrial, costs: Sequence[float]) -> bool:
    others = other.system_attrs.get(_COSTS)
    return others is not None and all(theirs <= _NOISE * own for theirs, own in zip(others, costs, strict=True))


def _reached_as_much(other: FrozenTrial, reached: Sequence[float], *, epoch: int) -> bool:
    best = _best(other.system_attrs.get(_METRICS, {}), epoch)
    return bool(best) and all(theirs <= own for theirs, own in zip(best, reached, strict=True))


def _best(by_epoch: Mapping[str, Sequence[float]], until: int) -> list[float]:
    return [min(each) for each in zip(*(now for epoch, now in by_epoch.items() if int(epoch) <= until), strict=True)]


_PROJECTIONS: Final[Mapping[str, Callable[[Progress, int, int], float]]] = {
    "memory": lambda progress, epoch, epochs: progress.memory.peak,
    "seconds": lambda progress, epoch, epochs: progress.seconds.train * epochs / epoch,
    "parameters": lambda progress, epoch, epochs: progress.parameters.trainable if progress.parameters else 0,
    "disk": lambda progress, epoch, epochs: progress.written_bytes / epoch,  # one checkpoint: about what stays of a run
}
"""Each cost of a whole run, from what it has spent in its first epochs, which epoch that was, and how many it has."""


def most_epochs(document: Document, *, rows: int) -> int:
    """The epochs of the longest trial in a space, with so many training rows."""
    written = document.get("train", {})
    lengths = {key: ends(written.get(key, getattr(Train(), key))) for key in ("epochs", "max_steps", "batch_size")}
    trains = (Train(**dict(zip(lengths, values, strict=True))) for values in product(*lengths.values()))
    return max(train.epochs_for(rows) for train in trains)
