"""From pruner specs to optuna's pruners."""

from collections.abc import Callable
from typing import Any

from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner

from tunery.hpo.pruners.hyperband import Hyperband
from tunery.hpo.pruners.percentile import PercentileWithTies
from tunery.schema.config import search as schema


def _median(spec: schema.MedianPruner, epochs: int) -> BasePruner:
    return PercentileWithTies(50.0, startup_trials=spec.startup_trials, warmup_epochs=spec.warmup_epochs)


def _percentile(spec: schema.PercentilePruner, epochs: int) -> BasePruner:
    return PercentileWithTies(spec.percentile, startup_trials=spec.startup_trials, warmup_epochs=spec.warmup_epochs)


def _halving(spec: schema.SuccessiveHalving, epochs: int) -> BasePruner:
    return SuccessiveHalvingPruner(spec.min_epochs, spec.reduction_factor)


def _hyperband(spec: schema.Hyperband, epochs: int) -> BasePruner:
    return Hyperband(least=spec.min_epochs, most=epochs, factor=spec.reduction_factor)


def _none(spec: schema.NoPruner, epochs: int) -> BasePruner:
    return NopPruner()


PRUNERS: dict[type[Any], Callable[[Any, int], BasePruner]] = {
    schema.MedianPruner: _median,
    schema.PercentilePruner: _percentile,
    schema.SuccessiveHalving: _halving,
    schema.Hyperband: _hyperband,
    schema.NoPruner: _none,
}
"""Each pruner, from its spec and the most epochs that a trial may have. Epochs are counted from 1."""
