"""From sampler and pruner specs to optuna's."""

import warnings
from collections.abc import Callable
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from tunery.schema import search as schema


def _tpe(spec: schema.Tpe, seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(n_startup_trials=spec.startup_trials, multivariate=True, group=True, seed=seed)


def _random(spec: schema.Random, seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


def _median(spec: schema.MedianPruner) -> BasePruner:
    return optuna.pruners.MedianPruner(n_startup_trials=spec.startup_trials, n_warmup_steps=spec.warmup_epochs)


def _none(spec: schema.NoPruner) -> BasePruner:
    return NopPruner()


SAMPLERS: dict[type[Any], Callable[[Any, int], BaseSampler]] = {schema.Tpe: _tpe, schema.Random: _random}
PRUNERS: dict[type[Any], Callable[[Any], BasePruner]] = {schema.MedianPruner: _median, schema.NoPruner: _none}
