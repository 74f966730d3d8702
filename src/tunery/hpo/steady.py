"""A sampler whose proposals do not depend on where a study was interrupted, not even in the middle of a trial's."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, final

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState


@final
class SteadySampler(BaseSampler):
    """Seeds every draw by (seed, trial number, parameter).

    What a sampler draws depends on how much it drew before; a trial taken up again has some of its parameters already,
    for which nothing is drawn any more.
    """

    def __init__(self, make: Callable[[int], BaseSampler], *, seed: int, number: int) -> None:
        """Args:
        make: makes the sampler of a seed.
        number: of the only trial that it is for.
        """
        self._make = make
        self._key = f"{seed}:{number}"
        self._whole = self._seeded("")

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that are drawn together, when the trial begins or is taken up again."""
        return self._whole.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw those together."""
        return self._whole.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw one that is drawn by itself."""
        return self._seeded(f":{param_name}").sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Passed on."""
        self._whole.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Passed on."""
        self._whole.after_trial(study, trial, state, values)

    def _seeded(self, what: str) -> BaseSampler:
        key = hashlib.sha256(f"{self._key}{what}".encode()).digest()
        return self._make(int.from_bytes(key[:4], "big"))
