"""What a study tries first: the known good settings of each method, as far as they lie in the space."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, Final

from tunery.errors import ConfigError
from tunery.hpo.search_space.distributions import Params, Space, Steps, encode
from tunery.schema.config.train import AUTO_EPOCHS
from tunery.schema.reading.document import Document, validate
from tunery.schema.space.sampled import UNSET, config_path, fields_at, opens_branch, sample
from tunery.schema.spec import Choices, Domain

FIRST: Final = 4
"""Most trials that begin with known settings."""
_METHOD: Final = "peft.method"


def portfolio(document: Document) -> list[Params]:
    """Parameters of the first trials, in their order. A default outside of its domain is left to the sampler.

    First the defaults of each method that is searched, then those of the same methods with the moves of `_VARIANTS`,
    until there are four. What the schema refuses is passed over.
    """
    space = Space(document)
    methods = _values(space.parameters[_METHOD].domain)[:FIRST] if _METHOD in space.parameters else [None]
    points: list[Params] = []
    for params in (_settings(space, method, moves) for moves in _VARIANTS for method in methods):
        if params and params not in points:
            points.append(params)
    return points[:FIRST]


def _settings(space: Space, method: Any, moves: Mapping[str, Callable[[Domain, Any], Any]]) -> Params:
    choices = {path: _default_choice(path, space) for path in space.parameters if opens_branch(path)}
    choices |= {_METHOD: method} if method is not None else {}
    try:
        defaults = _defaults(space, choices)
        config_paths = {path: config_path(path) for path in defaults}
        moved = {
            path: moves[config_paths[path]](space.parameters[path].domain, value)
            for path, value in defaults.items()
            if config_paths[path] in moves and value is not None
        }
        values = _defaults(space, choices | moved) if moved else defaults
    except ConfigError:
        return {}
    searched = {path: _value_in(space.parameters[path].domain, value) for path, value in values.items()}
    return {path: encode(value) for path, value in searched.items() if value is not UNSET}


def _default_choice(path: str, space: Space) -> Any:
    """The schema's own choice where it is searched, else the first."""
    section, _, tag = path.rpartition(".")
    names = _values(space.parameters[path].domain)
    defaults = [getattr(field.default, tag, None) for field in fields_at(section)]
    return next((name for name in defaults if name in names), names[0])


def _defaults(space: Space, fixed: Mapping[str, Any]) -> Params:
    """Values of all parameters that exist beside the fixed ones, as a config has them where nothing else is written."""
    reached: list[str] = []

    def choose(path: str, _: Domain) -> Any:
        reached.append(path)
        return fixed.get(path, UNSET)

    config = validate(sample(space.document, choose))
    defaults: Params = {path: reduce(getattr, config_path(path).split("."), config) for path in reached}
    return {path: AUTO_EPOCHS[0] if value == "auto" else value for path, value in defaults.items()}


def _value_in(domain: Domain, value: Any) -> Any:
    """The value as the domain has it, 16 for 16.0; `UNSET` where it is not in the domain."""
    if isinstance(domain, Choices):
        return next((choice for choice in domain.values if choice == value), UNSET)
    if not isinstance(value, int | float) or not domain.low <= value <= domain.high:
        return UNSET
    nearest = value if domain.step is None else Steps(domain).nearest(value)
    return nearest if nearest == value else UNSET


def _values(domain: Domain) -> Sequence[Any]:
    """What a domain names one by one; of a range without steps its ends."""
    if isinstance(domain, Choices):
        return domain.values
    return (domain.low, domain.high) if domain.step is None else Steps(domain)


def _times(factor: float) -> Callable[[Domain, Any], Any]:
    def move(domain: Domain, value: Any) -> Any:
        product = value * factor
        if isinstance(domain, Choices):
            return min(domain.values, key=lambda choice: abs(choice - product))
        if domain.step is not None:
            return Steps(domain).nearest(product)
        return min(max(product, domain.low), domain.high)

    return move


def _longest(domain: Domain, value: Any) -> Any:
    return max(domain.values) if isinstance(domain, Choices) else _values(domain)[-1]


def _widest(domain: Domain, value: Any) -> Any:
    return max(_values(domain), key=len)


_VARIANTS: Final[tuple[Mapping[str, Callable[[Domain, Any], Any]], ...]] = (
    {},
    {"optim.lr": _times(2), "train.batch_size": _times(0.5), "peft.target": _widest, "train.epochs": _longest},
    {"optim.lr": _times(2), "peft.target": _widest, "train.epochs": _longest},
    {"peft.target": _widest, "train.epochs": _longest},
    {"optim.lr": _times(0.5), "train.epochs": _longest},
)
"""Moves from the defaults, by path in the config: what most often beats them, in this order. With little data that is
more steps, and larger ones."""
