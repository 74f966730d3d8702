"""What each sampler proposes, by its spec."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, TPESampler

from tunery.hpo.samplers.candidates import Candidate, Candidates, Sampling
from tunery.schema.config import search as schema

_CANDIDATES: Final = 64
"""Draws of TPE's model, the best of which is proposed. With optuna's 24 the best value after 30 trials of a conditional
space is further off, over 50 seeds."""


def _tpe(spec: schema.Tpe, candidates: Candidates) -> Iterator[Candidate]:
    def make(seed: int) -> BaseSampler:
        return TPESampler(
            n_startup_trials=0, n_ei_candidates=_CANDIDATES, multivariate=True, constant_liar=True, seed=seed
        )

    begun = candidates.ended >= spec.startup_trials
    return candidates.drawn(Sampling(make, conditional=make) if begun else None)


def _gp(spec: schema.Gp, candidates: Candidates) -> Iterator[Candidate]:
    return candidates.drawn(Sampling(lambda seed: GPSampler(n_startup_trials=spec.startup_trials, seed=seed)))


def _random(spec: schema.Random, candidates: Candidates) -> Iterator[Candidate]:
    return candidates.drawn(None)


def _grid(spec: schema.Grid, candidates: Candidates) -> Iterator[Candidate]:
    return candidates.grid(points=spec.points)


def _cmaes(spec: schema.CmaEs, candidates: Candidates) -> Iterator[Candidate]:
    def make(seed: int) -> BaseSampler:
        return CmaEsSampler(n_startup_trials=spec.startup_trials, seed=seed)

    return candidates.drawn(Sampling(make, numbers_only=True))


def _nsga2(spec: schema.Nsga2, candidates: Candidates) -> Iterator[Candidate]:
    return candidates.drawn(Sampling(lambda seed: NSGAIISampler(population_size=spec.population, seed=seed)))


SAMPLERS: dict[type[Any], Callable[[Any, Candidates], Iterator[Candidate]]] = {
    schema.Tpe: _tpe,
    schema.Gp: _gp,
    schema.Random: _random,
    schema.Grid: _grid,
    schema.CmaEs: _cmaes,
    schema.Nsga2: _nsga2,
}
"""What each sampler proposes for one trial."""
