"""A search space as optuna knows it: distributions by path, and the config that a choice of values makes."""

import json
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from fractions import Fraction
from functools import cache, cached_property
from typing import Any, final, overload

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tunery.errors import ConfigError, Problem
from tunery.schema.config.run import RunConfig
from tunery.schema.reading.document import Document, normalise, validate
from tunery.schema.reading.fields import TAGS
from tunery.schema.space.parameters import parameters
from tunery.schema.space.sampled import UNSET, config_path, domains, integer_paths, may_be_unset, sample
from tunery.schema.spec import Choices, Domain, Range

Params = dict[str, Any]
"""Values of a trial by their paths in the document, as optuna stores them."""


@final
class Space:
    """The parameters of a document that `with_domains` returned."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.integers = integer_paths(document)
        self.parameters = {parameter.path: parameter for parameter in parameters(document)}
        self.distributions = {
            path: distribution(parameter.domain, integer=path in self.integers)
            for path, parameter in self.parameters.items()
        }
        self._choices = {
            path: {encode(value): value for value in domain.values}
            for path, domain in domains(document).items()
            if isinstance(domain, Choices)
        }

    @cached_property
    def groups(self) -> list[frozenset[str]]:
        """Paths of parameters that exist in the same trials; those that every trial has come first."""
        by_condition: dict[tuple[Any, ...], list[str]] = {(): []}
        for path, parameter in self.parameters.items():
            by_condition.setdefault(tuple(parameter.when.items()), []).append(path)
        return [frozenset(paths) for paths in by_condition.values()]

    @cached_property
    def _may_be_unset(self) -> dict[str, set[str]]:
        """Paths of parameters that may be left out, by their path in a config."""
        by_config_path: dict[str, set[str]] = {}
        for path in self.parameters:
            if may_be_unset(path):
                by_config_path.setdefault(config_path(path), set()).add(path)
        return by_config_path

    def decoded(self, path: str, value: Any) -> Any:
        """A stored value as the config writes it."""
        return self._choices[path][value] if path in self._choices else value

    def resolved(self, choose: Callable[[str], Any]) -> tuple[Params, RunConfig] | None:
        """The values that `choose` gives by path, as far as they are in the config that they make, and this config.

        A parameter that the rules refuse in this combination and that may be null is left out. None: the combination
        is refused all the same.
        """
        once = cache(choose)
        left_out: set[str] = set()
        while True:
            taken, document = self._filled(once, left_out)
            try:
                return taken, validate(document)
            except ConfigError as error:
                removable = self.removable(error.problems, taken)
                if not removable:
                    return None
                left_out |= removable

    def _filled(self, choose: Callable[[str], Any], left_out: Collection[str]) -> tuple[Params, Document]:
        taken: Params = {}

        def pick(path: str, _: Domain) -> Any:
            if path in left_out:
                return UNSET
            value = choose(path)
            if value is UNSET:
                return UNSET
            taken[path] = value
            return self.decoded(path, value)

        document = sample(self.document, pick)
        return taken, document

    def removable(self, problems: Iterable[Problem], paths: Collection[str]) -> set[str]:
        """Those of `paths` that are to be left out for the problems to go; none where that does not help."""
        removable: set[str] = set()
        for problem in problems:
            at_problem = self._may_be_unset.get(problem.path, set()) & set(paths)
            if not at_problem:
                return set()
            removable |= at_problem
        return removable


def distribution(domain: Domain, *, integer: bool) -> BaseDistribution:
    """A domain as optuna draws from it."""
    if isinstance(domain, Choices):
        return CategoricalDistribution(list(dict.fromkeys(map(encode, domain.values))))
    high = domain.high if domain.step is None else Steps(domain)[-1]  # optuna warns where the steps do not reach it
    if integer:
        return IntDistribution(int(domain.low), int(high), log=domain.log, step=int(domain.step or 1))
    return FloatDistribution(domain.low, high, log=domain.log, step=domain.step)


@final
class Steps(Sequence[float]):
    """The values of a range with steps, as they are written: 0.3 and not 0.30000000000000004. Each is made when it is
    asked for: there may be more than memory holds."""

    def __init__(self, domain: Range) -> None:
        self._low, high, self._step = (Fraction(str(n)) for n in (domain.low, domain.high, domain.step))
        self._count = int((high - self._low) // self._step) + 1

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[float]: ...
    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        steps = range(self._count)[index]
        return self._at(steps) if isinstance(steps, int) else [self._at(step) for step in steps]

    def nearest(self, value: float) -> float:
        """The step that is nearest to a value; of two the lower."""
        step = math.ceil((Fraction(value) - self._low) / self._step - Fraction(1, 2))
        return self._at(min(max(step, 0), self._count - 1))

    def _at(self, step: int) -> float:
        return float(self._low + step * self._step)


def encode(value: Any) -> Any:
    """A choice as optuna can store it: lists become JSON text."""
    return value if value is None or isinstance(value, str | int | float | bool) else json.dumps(value)


def complete(document: Document, base: RunConfig) -> Document:
    """The study's config as plain YAML values: every default written out, every range as a config writes it.

    A section whose choice is searched stays as the user wrote it, because each choice has defaults of its own.
    """
    completed: Document = _completed(normalise(document), base.model_dump(mode="json"))
    return completed


def _completed(written: Any, defaults: Any) -> Any:
    if not isinstance(written, dict) or not isinstance(defaults, dict):
        return _written(written)
    if any(isinstance(value, Choices) and key.rpartition(".")[2] in TAGS for key, value in written.items()):
        return {key: _written(value) for key, value in written.items()}
    return {key: _completed(written[key], value) if key in written else value for key, value in defaults.items()}


def _written(value: Any) -> Any:
    if isinstance(value, Range):
        options = {"log": True} if value.log else {"step": value.step} if value.step is not None else {}
        return {"low": value.low, "high": value.high, **options}
    if isinstance(value, Choices):
        return [list(item) if isinstance(item, tuple) else item for item in value.values]
    return {key: _written(inner) for key, inner in value.items()} if isinstance(value, dict) else value
