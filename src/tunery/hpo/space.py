"""From the schema's domains to optuna's suggestions."""

import json
from collections.abc import Mapping
from typing import Any

from optuna import Trial

from tunery.schema.document import Document, normalise, validate
from tunery.schema.fields import TAGS
from tunery.schema.run import RunConfig
from tunery.schema.space import domains, integer_paths, realise
from tunery.schema.spec import Choices, Domain, Range


def suggest(trial: Trial, path: str, domain: Domain, *, integer: bool) -> Any:
    """One value for one parameter; a parameter that the trial already has keeps its value."""
    if isinstance(domain, Choices):
        encoded = {encode(value): value for value in domain.values}
        return encoded[trial.suggest_categorical(path, list(encoded))]
    if integer:
        return trial.suggest_int(path, int(domain.low), int(domain.high), log=domain.log, step=int(domain.step or 1))
    return trial.suggest_float(path, domain.low, domain.high, log=domain.log, step=domain.step)


def encode(value: Any) -> Any:
    """A choice as optuna can store it: lists become JSON text."""
    return value if value is None or isinstance(value, str | int | float | bool) else json.dumps(value)


def decode(params: Mapping[str, Any], document: Document) -> dict[str, Any]:
    """Parameters from optuna's storage as the config writes them."""
    found = domains(document)
    choices = {path: {encode(v): v for v in d.values} for path, d in found.items() if isinstance(d, Choices)}
    return {path: choices[path][value] if path in choices else value for path, value in params.items()}


def propose(trial: Trial, document: Document) -> RunConfig:
    """The config of one trial.

    Raises:
        ConfigError: when the combination is refused by a rule of the schema.
    """
    integers = integer_paths(document)
    return validate(realise(document, lambda path, domain: suggest(trial, path, domain, integer=path in integers)))


def strong_default(document: Document) -> dict[str, Any]:
    """Parameters of the first trial: the schema's own defaults where they lie in the searched domain."""
    found = domains(document)
    tags = {path: domain.values[0] for path, domain in found.items() if isinstance(domain, Choices) and _is_tag(path)}
    reached: dict[str, Domain] = {}

    def choose(path: str, domain: Domain) -> Any:
        reached[path] = domain
        return tags.get(path, _UNSET)

    config = validate(_without_unset(realise(document, choose)))
    values = {path: _value_at(config, path) for path in reached}
    return {path: encode(value) for path, value in values.items() if _contains(reached[path], value)}


_UNSET = object()


def _is_tag(path: str) -> bool:
    return path.rpartition(".")[2] in TAGS


def _without_unset(document: Document) -> Document:
    return {
        key: _without_unset(value) if isinstance(value, dict) else value
        for key, value in document.items()
        if value is not _UNSET
    }


def _value_at(config: RunConfig, path: str) -> Any:
    value: Any = config
    for key in path.split("."):
        value = getattr(value, key)
    return value


def _contains(domain: Domain, value: Any) -> bool:
    if isinstance(domain, Range):
        return isinstance(value, int | float) and domain.low <= value <= domain.high
    return value in domain.values


def complete(document: Document, base: RunConfig) -> Document:
    """The study's config as plain YAML values: every default written out, every range as it stands in a config.

    A section whose choice is searched stays as the user wrote it, because each choice has defaults of its own.
    """
    completed: Document = _completed(normalise(document), base.model_dump(mode="json"))
    return completed


def _completed(written: Any, defaults: Any) -> Any:
    if not isinstance(written, dict) or not isinstance(defaults, dict):
        return _written(written)
    if any(isinstance(value, Choices) and _is_tag(key) for key, value in written.items()):
        return {key: _written(value) for key, value in written.items()}
    return {key: _completed(written[key], value) if key in written else value for key, value in defaults.items()}


def _written(value: Any) -> Any:
    if isinstance(value, Range):
        options = {"log": True} if value.log else {"step": value.step} if value.step is not None else {}
        return {"low": value.low, "high": value.high, **options}
    if isinstance(value, Choices):
        return [list(item) if isinstance(item, tuple) else item for item in value.values]
    return {key: _written(inner) for key, inner in value.items()} if isinstance(value, dict) else value
