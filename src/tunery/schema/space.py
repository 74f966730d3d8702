"""A search space is a config with ranges in place of values; a trial is that config with every range chosen."""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

from pydantic.fields import FieldInfo

from tunery.errors import ConfigError, Problem
from tunery.schema.document import Document, normalise, validate
from tunery.schema.fields import default_domain, is_integer, is_sequence, members
from tunery.schema.run import RunConfig
from tunery.schema.spec import Choices, Domain, Range

Choose = Callable[[str, Domain], Any]
_SEARCHED = ("model", "peft", "freeze", "optim", "schedule", "regularization", "train")


def with_domains(document: Document) -> Document:
    """A copy of `document` with every written range or list of choices read as a `Range` or `Choices`.

    Raises:
        ConfigError: for every range that is not one (`low > high`, a logarithm of zero, a range over names).
    """
    problems: list[Problem] = []
    document = normalise(document)
    result = {
        key: _read(value, [RunConfig.model_fields[key]], key, problems) if key in RunConfig.model_fields else value
        for key, value in document.items()
    }
    if problems:
        raise ConfigError(problems, source="the search space")
    return result


def _read(value: Any, fields: list[FieldInfo], path: str, problems: list[Problem]) -> Any:
    inner: dict[str, list[FieldInfo]] = {}
    for spec in (spec for field in fields for spec in members(field).values()):
        for key, field in spec.model_fields.items():
            inner.setdefault(key, []).append(field)
    if inner:
        if not isinstance(value, Mapping):
            return value
        return {k: _read(v, inner[k], f"{path}.{k}", problems) if k in inner else v for k, v in value.items()}
    if isinstance(value, Mapping) and {"low", "high"} <= set(value):
        return _range(value, fields, path, problems)
    nested = is_sequence(fields[0])
    if isinstance(value, list) and value and (not nested or all(isinstance(item, list) for item in value)):
        return Choices(tuple(tuple(item) if isinstance(item, list) else item for item in value))
    return value


def _range(value: Mapping[str, Any], fields: list[FieldInfo], path: str, problems: list[Problem]) -> Any:
    if unknown := sorted(set(value) - {"low", "high", "log", "step"}):
        problems.append(Problem(path, f"a range has low, high, log and step; {unknown[0]!r} is none of them"))
        return value
    low, high, log = value["low"], value["high"], bool(value.get("log", False))
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    if not numbers or not low <= high:
        problems.append(Problem(path, f"`low <= high` must hold for two numbers, but got low={low!r}, high={high!r}"))
    elif log and low <= 0:
        problems.append(Problem(path, f"a logarithmic range needs `low > 0`, but got low={low!r}"))
    elif log and value.get("step") is not None:
        problems.append(Problem(path, "a range is either logarithmic or stepped; remove log or step"))
    return Range(low, high, log, value.get("step"))


def domains(document: Document, prefix: str = "") -> dict[str, Domain]:
    """Every domain in a document that `with_domains` returned, by dotted path."""
    found: dict[str, Domain] = {}
    for key, value in document.items():
        if isinstance(value, Range | Choices):
            found[prefix + key] = value
        elif isinstance(value, Mapping):
            found |= domains(dict(value), f"{prefix}{key}.")
    return found


def with_default_domains(document: Document) -> Document:
    """A copy with the schema's default range in place of every searchable value that the config does not fix."""
    config = validate(document)
    result = dict(normalise(document))
    for section in _SEARCHED:
        result[section] = _opened(result.get(section, {}), getattr(config, section))
    return result


def _opened(written: Mapping[str, Any], spec: Any) -> dict[str, Any]:
    opened = dict(written)
    for key, field in type(spec).model_fields.items():
        if members(field) and getattr(spec, key) is not None:
            opened[key] = _opened(written.get(key, {}), getattr(spec, key))
        elif key not in written and (domain := default_domain(field)) is not None:
            opened[key] = domain
        elif field.is_required() is False and key in ("kind", "method", "name", "strategy"):
            opened.setdefault(key, getattr(spec, key))
    return opened


def realise(document: Document, choose: Choose) -> Document:
    """Replace every domain by what `choose(path, domain)` returns, parents first.

    A parameter is asked for only where the choices above it make it exist (define by run): with
    `peft.method` chosen as `none`, `peft.r` is left out, not drawn and thrown away.
    """
    return {
        key: _realised(value, RunConfig.model_fields[key], key, choose) if key in RunConfig.model_fields else value
        for key, value in document.items()
    }


def _realised(value: Any, field: FieldInfo, path: str, choose: Choose) -> Any:
    if isinstance(value, Range | Choices):
        return choose(path, value)
    specs = members(field)
    if not isinstance(value, Mapping) or not specs:
        return value
    tag, searched = field.discriminator, False
    chosen = dict(value)
    if isinstance(tag, str) and isinstance(value.get(tag), Choices):
        chosen[tag], searched = choose(f"{path}.{tag}", value[tag]), True
    spec = specs.get(str(chosen.get(tag, "")) if isinstance(tag, str) else "")
    if spec is None:
        return chosen
    if searched:
        elsewhere = {key for other in specs.values() for key in other.model_fields} - set(spec.model_fields)
        chosen = {key: sub for key, sub in chosen.items() if key not in elsewhere}
    return {
        key: _realised(sub, spec.model_fields[key], f"{path}.{key}", choose) if key in spec.model_fields else sub
        for key, sub in chosen.items()
    }


def integer_paths(document: Document) -> frozenset[str]:
    """Paths of ranges that count in whole numbers, by the type of their field."""
    return frozenset(path for path in domains(document) if all(is_integer(field) for field in fields_at(path)))


def fields_at(path: str) -> list[FieldInfo]:
    """The fields a dotted path may mean: one, or one per member of a union that has it."""
    section, *keys = path.split(".")
    found = [RunConfig.model_fields[section]]
    for key in keys:
        found = [s.model_fields[key] for f in found for s in members(f).values() if key in s.model_fields]
    return found


def check_space(document: Document) -> None:
    """Validate the ends of every domain under every combination of choices that open a branch.

    Raises:
        ConfigError: for every value that the schema refuses, and when no combination is legal.
    """
    found = domains(document)
    branches = {path: d for path, d in found.items() if isinstance(d, Choices) and _opens_branch(path)}
    problems: dict[Problem, None] = {}
    legal = 0
    for combination in product(*(d.values for d in branches.values())):
        fixed = dict(zip(branches, combination, strict=True))
        for path, domain in [("", None), *found.items()]:
            for end in _ends(domain):
                values = {**fixed, **({path: end} if path and path not in branches else {})}
                error = _refusal(document, values)
                legal += error is None
                problems |= dict.fromkeys(p for p in (error.problems if error else ()) if _is_about(p, path, domain))
    if problems or not legal:
        raise ConfigError(
            problems or [Problem("", "no combination of the choices is legal")], source="the search space"
        )


def _is_about(problem: Problem, path: str, domain: Domain | None) -> bool:
    """A combination that a rule refuses is not an error of the space: it is never proposed."""
    return domain is not None and problem.path == path and not _opens_branch(path)


def _opens_branch(path: str) -> bool:
    return path.rpartition(".")[2] in {f.discriminator for f in fields_at(path.rpartition(".")[0])}


def _ends(domain: Domain | None) -> Iterator[Any]:
    if isinstance(domain, Range):
        yield from (domain.low, domain.high)
    else:
        yield from domain.values if domain else (None,)


def _refusal(document: Document, values: dict[str, Any]) -> ConfigError | None:
    def choose(path: str, domain: Domain) -> Any:
        return values.get(path, next(_ends(domain)))

    try:
        validate(realise(document, choose))
    except ConfigError as error:
        return error
    return None
