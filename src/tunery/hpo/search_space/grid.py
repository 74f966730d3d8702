"""Every combination of a space that the schema accepts, one after the other, without ever holding them all."""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from random import Random
from typing import Any, Final, final

from tunery.errors import ConfigError, Problem
from tunery.hpo.search_space.distributions import Params, Space, Steps, encode
from tunery.schema.config.rules import broken_rules
from tunery.schema.config.run import RunConfig
from tunery.schema.reading.document import Document, read_section
from tunery.schema.space.parameters import Parameter
from tunery.schema.space.sampled import UNSET, sample
from tunery.schema.spec import Choices, Domain, Range

LIMIT: Final = 10_000
"""Most combinations that are looked at one by one."""
_POINTS: Final = 3
"""Values taken from a range without steps, where nothing else is asked for."""
_MOST_WITHOUT_NEW: Final = 10 * LIMIT
_GOLDEN_RATIO: Final = (math.sqrt(5) - 1) / 2


def grid(document: Document, *, points: int | None = None) -> Iterator[Params]:
    """Every combination that the schema accepts, once; first the one of all first values, if it is accepted.

    Args:
        points: values taken from a range without steps, both ends included, on a logarithmic range by equal factors;
            null takes every whole number, and 3 values from a range of others.
    """
    combinations = Combinations(Space(document), points=points)
    return combinations.legal(combinations.spread())


def size(document: Document) -> int | None:
    """How many configurations a space has; None: a range without steps is searched, so that there is no number.

    Up to 10,000 combinations, those that the rules refuse are left out of the count.
    """
    space = Space(document)
    if not countable(space):
        return None
    combinations = Combinations(space, points=None)
    if not combinations.is_small:
        return combinations.total
    return sum(1 for _ in combinations.legal(range(combinations.total)))


def countable(space: Space) -> bool:
    """Whether a space has a number of configurations: every range has steps, or counts in whole numbers."""
    domains = {path: parameter.domain for path, parameter in space.parameters.items()}
    return all(isinstance(d, Choices) or d.step is not None or path in space.integers for path, d in domains.items())


@final
class Combinations:
    """The combinations of a space by number, in a mixed radix with a digit for each parameter."""

    def __init__(self, space: Space, *, points: int | None) -> None:
        self._space = space
        self._points = {path: _points(space, parameter, points) for path, parameter in space.parameters.items()}
        self._children = _children(space)
        self._choices = {branch[0] for branch in self._children if branch is not None}
        self._size = cache(self._size_of)
        self._rules = _Rules(space)
        self.total: int = math.prod(self._size(path) for path in self._children[None])

    @property
    def is_small(self) -> bool:
        """Whether all of them may be looked at."""
        return self.total <= LIMIT

    def __getitem__(self, number: int) -> Params:
        """One combination, legal or not."""
        return dict(self._values(self._children[None], number))

    def legal(self, numbers: Iterable[int]) -> Iterator[Params]:
        """What the schema accepts among some combinations, each once; see `Space.resolved` for what is left out.

        After 100,000 numbers in a row with nothing new, the rest is not looked at.
        """
        seen = set[tuple[tuple[str, Any], ...]]()
        without_new = 0
        for number in numbers:
            params = self._rules.legal(self[number])
            if params is not None and (key := tuple(params.items())) not in seen:
                without_new = 0
                seen.add(key)
                yield params
            else:
                without_new += 1
                if without_new > _MOST_WITHOUT_NEW:
                    return

    def spread(self, start: int = 0) -> Iterator[int]:
        """All numbers once, from `start` on in long steps: after few of them most values have had their turn."""
        stride = max(1, round(self.total * _GOLDEN_RATIO))
        while math.gcd(stride, self.total) > 1:
            stride += 1
        number = start
        for _ in range(self.total):
            yield number
            number = (number + stride) % self.total

    def shuffled(self, seed: int) -> Iterator[int]:
        """All numbers once, in an order drawn from `seed`."""
        random = Random(seed)
        if self.is_small:
            return iter(random.sample(range(self.total), self.total))
        return self.spread(random.randrange(self.total))

    def _size_of(self, path: str) -> int:
        """Combinations of a parameter and of what depends on it."""
        values = self._points[path]
        return sum(self._size_below(path, value) for value in values) if path in self._choices else len(values)

    def _size_below(self, path: str, value: Any) -> int:
        """Combinations of what depends on a choice having this value."""
        return math.prod(self._size(child) for child in self._children.get((path, value), ()))

    def _values(self, paths: Sequence[str], number: int) -> Iterator[tuple[str, Any]]:
        """Combination `number` of some parameters and of what depends on them."""
        for path in paths:
            number, digit = divmod(number, self._size(path))
            if path in self._choices:
                value, below = self._choice(path, digit)
                yield path, value
                yield from self._values(self._children.get((path, value), ()), below)
            else:
                yield path, self._points[path][digit]

    def _choice(self, path: str, digit: int) -> tuple[Any, int]:
        """The value that a digit means, and the number of the combination of what depends on it."""
        for value in self._points[path]:
            if digit < self._size_below(path, value):
                break
            digit -= self._size_below(path, value)
        return value, digit


def _children(space: Space) -> dict[tuple[str, Any] | None, list[str]]:
    """Paths of parameters by the choice and the name that make them exist; under None those that always do."""
    by_branch: dict[tuple[str, Any] | None, list[str]] = {None: []}
    for path, parameter in space.parameters.items():
        branches: list[tuple[str, Any] | None] = [None]
        if parameter.when:
            choice, names = list(parameter.when.items())[-1]
            branches = [(choice, name) for name in names]
        for branch in branches:
            by_branch.setdefault(branch, []).append(path)
    return by_branch


def _points(space: Space, parameter: Parameter, count: int | None) -> Sequence[Any]:
    domain, integer = parameter.domain, parameter.path in space.integers
    if isinstance(domain, Choices):
        return tuple(dict.fromkeys(map(encode, domain.values)))
    if integer and (count is None or domain.step is not None):
        return range(int(domain.low), int(domain.high) + 1, int(domain.step or 1))
    if domain.step is not None:
        return Steps(domain)
    values = _evenly_spaced(domain, count or _POINTS)
    return tuple(dict.fromkeys(round(value) for value in values)) if integer else tuple(dict.fromkeys(values))


def _evenly_spaced(domain: Range, count: int) -> list[float]:
    """Both ends and what lies between them at equal distances; on a logarithmic range, by equal factors."""
    shares = [number / (count - 1) for number in range(1, count - 1)]
    if domain.log:
        between = [domain.low * (domain.high / domain.low) ** share for share in shares]
    else:
        between = [domain.low + (domain.high - domain.low) * share for share in shares]
    return [domain.low, *between, domain.high]


@final
class _Rules:
    """What the schema says of combinations; a section is read once for each combination of its own parameters."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._read = cache(self._section)

    def legal(self, params: Params) -> Params | None:
        """The parameters that are in the config, or None where the combination is refused."""
        while problems := self._problems(params):
            removable = self._space.removable(problems, params)
            if not removable:
                return None
            params = {path: value for path, value in params.items() if path not in removable}
        return params

    def _problems(self, params: Params) -> list[Problem]:
        by_section: dict[str, list[tuple[str, Any]]] = {name: [] for name in RunConfig.model_fields}
        for path, value in params.items():
            by_section[path.partition(".")[0]].append((path, value))
        try:
            return list(broken_rules({name: self._read(name, tuple(values)) for name, values in by_section.items()}))
        except ConfigError as error:
            return list(error.problems)

    def _section(self, name: str, values: tuple[tuple[str, Any], ...]) -> Any:
        chosen, document = dict(values), self._space.document
        section = {name: document[name]} if name in document else {}

        def pick(path: str, _: Domain) -> Any:
            return self._space.decoded(path, chosen[path]) if path in chosen else UNSET

        return read_section(name, sample(section, pick))
