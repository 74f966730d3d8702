"""Samplers as a study asks them, against the suite that optuna has for samplers."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase
from optuna.trial import FrozenTrial

from tunery.hpo.optuna_private import view
from tunery.hpo.samplers.builders import SAMPLERS
from tunery.hpo.samplers.candidates import Candidate, Sampling
from tunery.schema.config.search import CmaEs, Gp, Nsga2, Sampler, Tpe

SPECS: Final[dict[str, Sampler]] = {
    "tpe": Tpe(),
    "cmaes": CmaEs(startup_trials=1),
    "nsga2": Nsga2(population=2),
    "gp": Gp(startup_trials=1),
}


class Asked:
    """In the place of the candidates of a trial: what a sampler is asked for."""

    ended = 1000
    sampling: Sampling | None = None

    def drawn(self, sampling: Sampling | None) -> Iterator[Candidate]:
        self.sampling = sampling
        return iter(())


class Anew(BaseSampler):
    """A fresh sampler for every draw, which is shown a view of the study; what it wants to remember goes elsewhere."""

    def __init__(self, spec: Sampler) -> None:
        asked = Asked()
        SAMPLERS[type(spec)](spec, asked)  # type: ignore[arg-type]
        assert asked.sampling is not None
        self._make = asked.sampling.shared
        self._numbers_only = asked.sampling.numbers_only
        self._draws = 0

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._make(0).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        self._draws += 1
        trials = [known for known in study.get_trials(deepcopy=False) if known.params]
        drawn = self._make(self._draws).sample_relative(view(study, trials, notes={}), trial, search_space)
        assert study._storage.get_trial(trial._trial_id).system_attrs == {}
        return drawn

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return RandomSampler(seed=0).sample_independent(study, trial, param_name, param_distribution)


GP: Final = pytest.param("gp", marks=pytest.mark.slow)


@pytest.mark.parametrize("spec", ["tpe", "cmaes", "nsga2", GP])
class TestInStudies(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self, spec: str) -> Callable[[], BaseSampler]:
        return lambda: Anew(SPECS[spec])


@pytest.mark.parametrize("spec", ["tpe", "cmaes", GP])  # NSGA-II leaves its first generation to chance
class TestTogether(RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self, spec: str) -> Callable[[], BaseSampler]:
        return lambda: Anew(SPECS[spec])
