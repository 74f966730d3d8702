"""The linear model of each problem: over given features, and over none, which answers everything alike."""

from collections.abc import Callable, Mapping
from typing import Final

from tunery.baselines.linear import Features, Linear, fit_logistic, fit_majority
from tunery.baselines.ridge import fit_levels, fit_mean, fit_mean_levels, fit_ridge
from tunery.baselines.targets import LinearTargets, Problem

_Fit = Callable[[Features, LinearTargets, int], Linear]


def _logistic(features: Features, targets: LinearTargets, seed: int) -> Linear:
    return fit_logistic(features, targets.values, labels=targets.outputs, seed=seed).linear


def _frequencies(targets: LinearTargets) -> Linear:
    return fit_majority(targets.values, labels=targets.outputs)


LINEAR_MODELS: Final[Mapping[Problem, _Fit]] = {
    "single_label": _logistic,
    "multi_label": _logistic,
    "number": lambda features, targets, seed: fit_ridge(features, targets.values, seed=seed).linear,
    "levels": lambda features, targets, seed: fit_levels(features, targets.values, outputs=targets.outputs, seed=seed),
}
"""Features, what is right of their rows, and the seed of the folds that choose a penalty become a model."""
CONSTANT_MODELS: Final[Mapping[Problem, Callable[[LinearTargets], Linear]]] = {
    "single_label": _frequencies,
    "multi_label": _frequencies,
    "number": lambda targets: fit_mean(targets.values),
    "levels": lambda targets: fit_mean_levels(targets.values, outputs=targets.outputs),
}
"""What is right of some rows becomes a model without features."""


def fit_linear(features: Features, targets: LinearTargets, *, seed: int) -> Linear:
    """The linear model over given features."""
    return LINEAR_MODELS[targets.problem](features, targets, seed)


def fit_constant(targets: LinearTargets) -> Linear:
    """The model that gives every row the same answer."""
    return CONSTANT_MODELS[targets.problem](targets)
