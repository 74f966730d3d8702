"""Where proposals come from: the defaults, a sampler of optuna, chance, and what a grid has left."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Final, NamedTuple, final

from optuna import Study
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial

from tunery.hpo.optuna_private import view
from tunery.hpo.search_space.distributions import Params, Space
from tunery.hpo.search_space.grid import Combinations, countable
from tunery.hpo.search_space.initial_points import FIRST, portfolio
from tunery.schema.space.sampled import UNSET

_ATTEMPTS: Final = 8
"""Draws by the sampler."""
_RANDOM_ATTEMPTS: Final = 24
"""Draws at random, where the sampler had nothing new."""
_POINTS: Final = 3
"""Values of a range without steps in the grid that comes last."""


class Candidate(NamedTuple):
    """A proposal that the schema has not seen yet."""

    choose: Callable[[str], Any]
    """The value of the parameter at a path; asked in the order in which the parameters come to exist."""
    notes: dict[str, Any]
    """What the sampler wants to remember with the trial."""


@dataclass(frozen=True)
class Sampling:
    """How a sampler is asked. A fresh one is made from a seed for every draw, so that it remembers nothing itself."""

    shared: Callable[[int], BaseSampler]
    """Draws the parameters that every trial has, together."""
    conditional: Callable[[int], BaseSampler] | None = None
    """Draws those that exist in the same trials, together; null draws each at random."""
    numbers_only: bool = False
    """Whether choices are drawn at random."""


@final
class Candidates:
    """The proposals for one trial, best first. They depend on the trials so far, the seed and the trial's number."""

    def __init__(
        self,
        space: Space,
        study: Study,
        *,
        number: int,
        seed: int,
        is_new: Callable[[Params], bool],
        baselines: int = 0,
    ) -> None:
        """Args:
        number: of the trial, which has no parameters yet.
        is_new: whether no other trial has these parameters.
        baselines: how many trials before it are simple models.
        """
        self._space = space
        self._history = History(space, study, number)
        self._key = f"{seed}:{number}"
        self._seed = seed
        self._is_new = is_new
        self._position = number - baselines

    @property
    def ended(self) -> int:
        """Trials of the space that have ended."""
        return sum(trial.state.is_finished() for trial in self._history.trials)

    def drawn(self, sampling: Sampling | None) -> Iterator[Candidate]:
        """The strong default that is due, draws by a sampler, draws at random, and the grid; None: all at random."""
        position = self._position
        for fixed in portfolio(self._space.document)[position : position + 1] if position < FIRST else []:
            yield self._draw("default", sampling, fixed)
        for attempt in range(_ATTEMPTS):
            yield self._draw(str(attempt), sampling)
        for attempt in range(_RANDOM_ATTEMPTS):
            yield self._draw(f"random {attempt}", None)
        yield from self.grid(points=None if countable(self._space) else _POINTS)

    def grid(self, *, points: int | None) -> Iterator[Candidate]:
        """What is left of all combinations, in an order drawn from the seed of the study."""
        combinations = Combinations(self._space, points=points)
        numbers = (n for n in combinations.shuffled(self._seed) if self._is_new(combinations[n]))
        return map(candidate_of, combinations.legal(numbers))

    def _draw(self, attempt: str, sampling: Sampling | None, fixed: Mapping[str, Any] | None = None) -> Candidate:
        draw = _Draw(self._space, self._history, sampling, key=f"{self._key}:{attempt}", fixed=fixed or {})
        return Candidate(draw.choose, draw.notes)


def candidate_of(params: Mapping[str, Any]) -> Candidate:
    """Parameters that have been drawn already."""
    return Candidate(lambda path: params.get(path, UNSET), {})


@final
class History:
    """What a sampler is shown: for each group of parameters the trials that have it, which it learns from alone.

    The split into good and bad trials that TPE makes is then one within a branch. Made over all trials, a branch that
    is seldom among the best would have no good trials to learn from.
    """

    def __init__(self, space: Space, study: Study, number: int) -> None:
        trials = study.get_trials(deepcopy=False)
        self.trial = trials[number]
        self.trials = [trial for trial in trials if trial.params]
        self._study = study
        self._space = space
        self._split = cache(self._split_group)

    @cached_property
    def _by_paths(self) -> dict[frozenset[str], list[FrozenTrial]]:
        by_paths: dict[frozenset[str], list[FrozenTrial]] = {}
        for trial in self.trials:
            by_paths.setdefault(frozenset(trial.params), []).append(trial)
        return by_paths

    @cached_property
    def shared(self) -> frozenset[str]:
        """Paths that every trial has."""
        return self._split(self._space.groups[0])[0]

    def group_of(self, path: str) -> frozenset[str]:
        """The parameters that exist where this one does, and were never left out beside it."""
        whole = next(group for group in self._space.groups if path in group)
        return next(part for part in self._split(whole) if path in part)

    def _split_group(self, group: frozenset[str]) -> list[frozenset[str]]:
        """A parameter that was left out of some trials (see `Space.resolved`) is a group by itself."""
        had = {group & paths for paths in self._by_paths}
        missing = frozenset[str]().union(*(group - paths for paths in had if paths))
        return [group - missing, *(frozenset([path]) for path in sorted(missing))]

    def shown(self, group: Collection[str], notes: dict[str, Any]) -> Study:
        """The study, with the trials that have all parameters of a group."""
        needed = set(group)
        trials = [trial for paths, trials in self._by_paths.items() if needed <= paths for trial in trials]
        return view(self._study, sorted(trials, key=lambda trial: trial.number), notes=notes)


@final
@dataclass
class _Draw:
    """The values of one proposal, drawn group by group as they are asked for."""

    space: Space
    history: History
    sampling: Sampling | None
    key: str
    fixed: Mapping[str, Any]
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = RandomSampler(seed=_seed(self.key))
        self._values: Params = {}
        self._drawn = set[frozenset[str]]()

    def choose(self, path: str) -> Any:
        """The value at a path. A group is drawn even where a value of it is fixed, so that the sampler counts it."""
        group = self.history.group_of(path)
        if self.sampling is not None and group not in self._drawn:
            self._drawn.add(group)
            self._values |= self._draw_group(group, self.sampling)
        if path in self.fixed:
            return self.fixed[path]
        if path in self._values:
            return self._values[path]
        distribution = self.space.distributions[path]
        return self._random.sample_independent(self.history.shown((), {}), self.history.trial, path, distribution)

    def _draw_group(self, group: frozenset[str], sampling: Sampling) -> Params:
        make = sampling.shared if group == self.history.shared else sampling.conditional
        drawn = {
            path: distribution
            for path in sorted(group)
            if not (distribution := self.space.distributions[path]).single()
            and not (sampling.numbers_only and isinstance(distribution, CategoricalDistribution))
        }
        if make is None or not drawn:
            return {}
        sampler = make(_seed(f"{self.key}:{min(group)}"))
        return sampler.sample_relative(self.history.shown(group, self.notes), self.history.trial, drawn)


def _seed(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")
