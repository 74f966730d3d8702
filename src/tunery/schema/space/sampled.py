"""A search space is a config with ranges in place of values; a trial is that config with every range chosen.

Where a choice is searched, a mapping under the name of a choice holds what is for that choice alone:
`peft: {method: [lora, pfeiffer], pfeiffer: {dropout: {low: 0.1, high: 0.3}}}`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic.fields import FieldInfo

from tunery.schema.config.run import RunConfig
from tunery.schema.reading.document import Document, normalise
from tunery.schema.reading.fields import (
    branches,
    element,
    is_block,
    is_integer,
    is_mapping,
    is_optional,
    is_sequence,
    members,
    tag_of,
)
from tunery.schema.reading.validation import range_problem
from tunery.schema.spec import Choices, Domain, Range, Spec

Choose = Callable[[str, Domain], Any]

UNSET: Final = object()
"""What a `Choose` returns to leave its key out."""


def with_domains(document: Document) -> Document:
    """A copy of `document` with every written range or list of choices read as a `Range` or `Choices`.

    What is not a range (`low > high`, a logarithm of zero) stays as it is written; `check_space` and `validate`
    refuse it together with everything else that is wrong.
    """
    fields = RunConfig.model_fields
    return {key: _read(v, [fields[key]]) if key in fields else v for key, v in normalise(document).items()}


def _read(value: Any, fields: list[FieldInfo]) -> Any:
    specs = [spec for field in fields for spec in members(field).values()]
    if specs and isinstance(value, Mapping):
        return {
            key: {name: _read_key(name, inner, [members(fields[0])[key]]) for name, inner in sub.items()}
            if is_block(key, sub, fields[0])
            else _read_key(key, sub, specs)
            for key, sub in value.items()
        }
    if specs or element(fields[0]) or (isinstance(value, Mapping) and is_mapping(fields[0])):
        return value
    if isinstance(value, Mapping) and {"low", "high"} <= set(value) and not range_problem(value):
        return Range(value["low"], value["high"], bool(value.get("log")), value.get("step"))
    nested = is_sequence(fields[0])
    if isinstance(value, list) and value and (not nested or all(isinstance(item, list) for item in value)):
        return Choices(tuple(tuple(item) if isinstance(item, list) else item for item in value))
    return value


def _read_key(key: Any, value: Any, specs: list[type[Spec]]) -> Any:
    fields = [spec.model_fields[key] for spec in specs if key in spec.model_fields]
    return _read(value, fields) if fields else value


def domains(document: Mapping[str, Any], prefix: str = "") -> dict[str, Domain]:
    """Every domain in a document that `with_domains` returned, by its dotted path there."""
    by_path: dict[str, Domain] = {}
    for key, value in document.items():
        if isinstance(value, Range | Choices):
            by_path[f"{prefix}{key}"] = value
        elif isinstance(value, Mapping):
            by_path |= domains(value, f"{prefix}{key}.")
    return by_path


def sample(document: Document, choose: Choose) -> Document:
    """Replace every domain by what `choose(path, domain)` returns, parents first; `UNSET` leaves a key out.

    A parameter is asked for only where the choices above it make it exist (define by run): with
    `peft.method` chosen as `full`, `peft.r` is left out, not drawn and thrown away.
    """
    fields = RunConfig.model_fields
    chosen = {key: _sampled_value(v, fields[key], key, choose) if key in fields else v for key, v in document.items()}
    return _with_rungs({key: value for key, value in chosen.items() if value is not UNSET}, document)


def _with_rungs(sampled: Document, document: Document) -> Document:
    """Give every stage of continued pretraining whose epochs are searched all of its lengths: the longest is trained
    once, whichever trial comes first."""
    stages = document.get("pretrain")
    if not isinstance(stages, Mapping) or not isinstance(sampled.get("pretrain"), Mapping):
        return sampled
    chosen = dict(sampled["pretrain"])
    for name, stage in stages.items():
        epochs = stage.get("epochs") if isinstance(stage, Mapping) else None
        if isinstance(epochs, Range | Choices) and isinstance(chosen.get(name), Mapping):
            chosen[name] = {**chosen[name], "rungs": sorted({length for length in _counts(epochs) if length})}
    return {**sampled, "pretrain": chosen}


def _counts(domain: Domain) -> Sequence[int]:
    """All whole numbers that a domain has."""
    if isinstance(domain, Choices):
        return domain.values
    return range(int(domain.low), int(domain.high) + 1, int(domain.step or 1))


def _sampled_value(value: Any, field: FieldInfo, path: str, choose: Choose) -> Any:
    if isinstance(value, Range | Choices):
        return choose(path, value)
    if not isinstance(value, Mapping) or not members(field):
        return value
    tag = tag_of(field)
    searched = tag is not None and isinstance(value.get(tag), Choices)
    chosen = {**value, tag: choose(f"{path}.{tag}", value[tag])} if searched else dict(value)
    inner = {key: sub for spec in branches(chosen, field).values() for key, sub in spec.model_fields.items()}
    foreign = {key for spec in branches(value, field).values() for key in spec.model_fields} - set(inner)
    name = chosen.get(tag) if tag else None
    block = chosen[name] if isinstance(name, str) and is_block(name, chosen.get(name), field) else {}
    values_and_paths = {
        key: (sub, f"{path}.{key}")
        for key, sub in chosen.items()
        if key not in foreign and key not in block and not is_block(key, sub, field)
    }
    values_and_paths |= {key: (sub, f"{path}.{name}.{key}") for key, sub in block.items()}
    sampled = {
        key: _sampled_value(sub, inner[key], path_of_key, choose) if key in inner else sub
        for key, (sub, path_of_key) in values_and_paths.items()
    }
    return {key: sub for key, sub in sampled.items() if sub is not UNSET}


def integer_paths(document: Document) -> frozenset[str]:
    """Paths of ranges that count in whole numbers, by the type of their field."""
    return frozenset(path for path in domains(document) if all(is_integer(field) for field in fields_at(path)))


def fields_at(path: str) -> list[FieldInfo]:
    """The fields a dotted path may mean: one, or one per member of a union that has it."""
    return _walk(path)[0]


def config_path(path: str) -> str:
    """The path of a parameter in the config of a trial: `peft.lora.r` becomes `peft.r`."""
    return _walk(path)[1]


def may_be_unset(path: str) -> bool:
    """Whether a parameter may be left out where it would have no effect: null is a value of its field."""
    return all(is_optional(field) for field in fields_at(path))


def _walk(path: str) -> tuple[list[FieldInfo], str]:
    section, *keys = path.split(".")
    fields, plain, specs = [RunConfig.model_fields[section]], [section], list[type[Spec]]()
    for depth, key in enumerate(keys):
        specs = specs or [spec for field in fields for spec in members(field).values()]
        block = [members(field)[key] for field in fields if key in members(field)]
        if block and len(specs) > 1 and depth + 1 < len(keys):
            specs = block
            continue
        fields, specs = [spec.model_fields[key] for spec in specs if key in spec.model_fields], []
        plain.append(key)
    return fields, ".".join(plain)


def opens_branch(path: str) -> bool:
    """Whether a path is that of a choice, on which other parameters depend."""
    parent, _, key = path.rpartition(".")
    return bool(parent) and any(tag_of(field) == key for field in fields_at(parent))
