"""How important the parameters were, by two measures: for reaching the best tenth, and for all differences."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from tunery.hpo.analysis.fanova import Floats, single_shares
from tunery.schema.results.direction import Direction, minimized
from tunery.schema.results.study import Importance

_FEWEST: Final = 10
"""Completed trials that must have a parameter before anything is said about it."""
MOST_TRIALS: Final[Mapping[str, int]] = {"ped_anova": 2000, "fanova": 1000}
"""By evaluator: how many trials are looked at, drawn from all completed ones where there are more."""
_SEED: Final = 0

Shares = Mapping[str, float]


def importances(
    study: optuna.Study, *, most_trials: Mapping[str, int] = MOST_TRIALS
) -> dict[str, tuple[Importance, ...]]:
    """Importance of the parameters for the first objective, by evaluator, most important first.

    `ped_anova`: for being among the best tenth, of every parameter (Watanabe et al. 2023, arXiv 2304.10255); one that
    only some trials have counts by how many of the best and of all have it (arXiv 2601.20800).
    `fanova`: for all differences (Hutter et al. 2014), of the parameters that every completed trial has.
    A parameter with one value only, or in fewer than ten completed trials, is left out, and so is an evaluator that
    finds nothing.

    Args:
        most_trials: by evaluator, drawn from all completed ones where there are more, always the same.
    """
    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    trials = [trial for trial in completed if trial.params and trial.values and math.isfinite(trial.values[0])]
    counts = _counts(trials)
    direction: Direction = "maximize" if study.directions[0] is StudyDirection.MAXIMIZE else "minimize"
    shares = {
        name: evaluate(_drawn(trials, most_trials[name]), counts, direction) for name, evaluate in _EVALUATORS.items()
    }
    return {name: _records(shares[name], counts) for name in shares if sum(shares[name].values()) > 0}


def _counts(trials: Sequence[FrozenTrial]) -> dict[str, int]:
    """How many trials have a parameter, for those that are not left out."""
    values: dict[str, list[Any]] = {}
    for trial in trials:
        for path, value in trial.params.items():
            values.setdefault(path, []).append(value)
    return {path: len(drawn) for path, drawn in values.items() if len(drawn) >= _FEWEST and len(set(drawn)) > 1}


def _drawn(trials: list[FrozenTrial], most: int) -> list[FrozenTrial]:
    if len(trials) <= most:
        return trials
    chosen = np.random.default_rng(_SEED).choice(len(trials), size=most, replace=False)
    return [trials[index] for index in sorted(chosen)]


def _ped_anova(trials: Sequence[FrozenTrial], counts: Mapping[str, int], direction: Direction) -> Shares:
    """By optuna's own evaluator, on a study of these trials with the one objective."""
    copy = optuna.create_study()
    copy.add_trials(
        create_trial(params=t.params, distributions=t.distributions, value=minimized(t.values[0], direction))
        for t in trials
    )
    paths = {path for trial in trials for path in trial.params}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of regimes with one trial, which are left out
        return PedAnovaImportanceEvaluator().evaluate(copy, [path for path in counts if path in paths])


def _fanova(trials: Sequence[FrozenTrial], counts: Mapping[str, int], direction: Direction) -> Shares:
    shared = [path for path in counts if all(path in trial.params for trial in trials)]
    if not shared:
        return {}
    axes = [_axis(trials[0].distributions[path]) for path in shared]
    columns = [[scale(t.params[path]) for t in trials] for path, (_, scale) in zip(shared, axes, strict=True)]
    losses = np.array([minimized(trial.values[0], direction) for trial in trials])
    shares = single_shares(np.array(columns).T, losses, bounds=np.array([bounds for bounds, _ in axes]))
    return dict(zip(shared, shares.tolist(), strict=True))


def _axis(distribution: BaseDistribution) -> tuple[Floats, Callable[[Any], float]]:
    """The line on which a parameter's values lie evenly, as they are drawn: its ends, and where a value lies."""
    if isinstance(distribution, CategoricalDistribution):
        return np.array([-0.5, len(distribution.choices) - 0.5]), distribution.to_internal_repr
    low, high, log = distribution.low, distribution.high, distribution.log  # type: ignore[attr-defined]
    return (np.log([low, high]), math.log) if log else (np.array([low, high], dtype=float), float)


_EVALUATORS: Final[Mapping[str, Callable[[Sequence[FrozenTrial], Mapping[str, int], Direction], Shares]]] = {
    "ped_anova": _ped_anova,
    "fanova": _fanova,
}


def _records(shares: Shares, counts: Mapping[str, int]) -> tuple[Importance, ...]:
    total = sum(shares.values())
    order = sorted(shares, key=lambda path: (-shares[path], path))
    return tuple(Importance(path=path, share=shares[path] / total, trials=counts[path]) for path in order)
