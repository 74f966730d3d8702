"""A search space is a config with ranges in place of values; a trial is that config with every range chosen."""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, Final

from pydantic.fields import FieldInfo

from tunery.errors import ConfigError, Problem
from tunery.schema.document import Document, expanded, misfits, normalise, read_section, sound
from tunery.schema.fields import branches, default_domain, element, ends, is_integer, is_sequence, members, tag_of
from tunery.schema.refusals import range_problem
from tunery.schema.rules import RULES, Rule, sections_read
from tunery.schema.run import RunConfig
from tunery.schema.spec import Choices, Domain, Range

Choose = Callable[[str, Domain], Any]
_SEARCHED: Final = ("model", "peft", "freeze", "optim", "schedule", "regularization", "train")
_SAME_FOR_ALL: Final = ("name", "task.kind", "data", "checkpoint", "tracking", "search")


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
        inner = {key: [s.model_fields[key] for s in specs if key in s.model_fields] for key in value}
        return {key: _read(sub, inner[key]) if inner[key] else sub for key, sub in value.items()}
    if specs or element(fields[0]):
        return value
    if isinstance(value, Mapping) and {"low", "high"} <= set(value) and not range_problem(value):
        return Range(value["low"], value["high"], bool(value.get("log")), value.get("step"))
    nested = is_sequence(fields[0])
    if isinstance(value, list) and value and (not nested or all(isinstance(item, list) for item in value)):
        return Choices(tuple(tuple(item) if isinstance(item, list) else item for item in value))
    return value


def domains(document: Mapping[str, Any], prefix: str = "") -> dict[str, Domain]:
    """Every domain in a document that `with_domains` returned, by dotted path."""
    found: dict[str, Domain] = {}
    for key, value in document.items():
        if isinstance(value, Range | Choices):
            found[f"{prefix}{key}"] = value
        elif isinstance(value, Mapping):
            found |= domains(value, f"{prefix}{key}.")
    return found


def with_default_domains(document: Document) -> Document:
    """A copy with the schema's default range in place of every searchable value that the document does not fix.

    Where a choice is searched, a key is opened that means the same range in every chosen branch that has it.
    """
    document = with_domains(document)
    fields = RunConfig.model_fields
    return {**document, **{name: _opened(document.get(name, {}), fields[name]) for name in _SEARCHED}}


def _opened(written: Any, field: FieldInfo) -> Any:
    written = expanded(written, field)
    if not isinstance(written, Mapping):
        return written
    opened = dict(written)
    for key, fields in _inner_fields(written, field).items():
        if members(fields[0]) and (key in written or fields[0].default is not None):
            opened[key] = _opened(written.get(key, {}), fields[0])
        elif key not in written and (domain := _shared_domain(fields)) is not None:
            opened[key] = domain
    return opened


def _shared_domain(fields: list[FieldInfo]) -> Domain | None:
    found = {default_domain(field) for field in fields}
    return found.pop() if len(found) == 1 else None


def _inner_fields(written: Mapping[str, Any], field: FieldInfo) -> dict[str, list[FieldInfo]]:
    found: dict[str, list[FieldInfo]] = {}
    for spec in branches(written, field).values():
        for key, inner in spec.model_fields.items():
            found.setdefault(key, []).append(inner)
    return found


def realise(document: Document, choose: Choose) -> Document:
    """Replace every domain by what `choose(path, domain)` returns, parents first.

    A parameter is asked for only where the choices above it make it exist (define by run): with
    `peft.method` chosen as `none`, `peft.r` is left out, not drawn and thrown away.
    """
    fields = RunConfig.model_fields
    return {key: _realised(v, fields[key], key, choose) if key in fields else v for key, v in document.items()}


def _realised(value: Any, field: FieldInfo, path: str, choose: Choose) -> Any:
    if isinstance(value, Range | Choices):
        return choose(path, value)
    if not isinstance(value, Mapping) or not members(field):
        return value
    tag = tag_of(field)
    searched = tag is not None and isinstance(value.get(tag), Choices)
    chosen = {**value, tag: choose(f"{path}.{tag}", value[tag])} if searched else dict(value)
    inner = {key: sub for spec in branches(chosen, field).values() for key, sub in spec.model_fields.items()}
    foreign = {key for spec in branches(value, field).values() for key in spec.model_fields} - set(inner)
    return {
        key: _realised(sub, inner[key], f"{path}.{key}", choose) if key in inner else sub
        for key, sub in chosen.items()
        if key not in foreign
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
    """Check both ends of every range, every choice and every fixed value, in each branch that has them.

    A combination that a rule between sections refuses is tolerated: it is never proposed. A value that the rules
    refuse in every combination is an error.

    Raises:
        ConfigError: with all problems at once.
    """
    document = normalise(document)
    problems = list(misfits(document, searched=True))
    for path in domains(document):
        if any(f"{path}.".startswith(f"{place}.") for place in _SAME_FOR_ALL):
            problems.append(Problem(path, "the trials of a study have this in common; write one value"))
    variants: dict[str, list[Any]] = {}
    for name in sound(problems):
        try:
            variants[name] = _variants(name, document)
        except ConfigError as error:
            problems += error.problems
    problems += dict.fromkeys(problem for rule in RULES for problem in _dead_ends(rule, variants))
    if problems:
        raise ConfigError(problems, source="the search space")


def _variants(name: str, document: Document) -> list[Any]:
    """Values of one section: each combination of its branches, with each end of each domain in turn."""
    section = {name: document[name]} if name in document else {}
    found = domains(section)
    tags = {path: domain for path, domain in found.items() if _opens_branch(path)}
    variants, refused = [], None
    for names in product(*map(ends, tags.values())):
        firsts = {path: ends(domain)[0] for path, domain in found.items()} | dict(zip(tags, names, strict=True))
        turns = [{path: end} for path, domain in found.items() if path not in tags for end in ends(domain)]
        for turn in turns or [{}]:
            try:
                variants.append(read_section(name, _with_values(section, firsts | turn)))
            except ConfigError as error:
                refused = refused or error
    if refused and not variants:
        raise refused
    return variants


def _with_values(section: Document, values: Mapping[str, Any]) -> Document:
    return realise(section, lambda path, _: values[path])


def _opens_branch(path: str) -> bool:
    parent, _, key = path.rpartition(".")
    return bool(parent) and any(tag_of(field) == key for field in fields_at(parent))


def _dead_ends(rule: Rule, variants: Mapping[str, list[Any]]) -> Iterator[Problem]:
    """What a rule says about every variant that it refuses next to all variants of the other sections."""
    names = sections_read(rule)
    if not all(name in variants for name in names):
        return
    groups = [variants[name] for name in names]
    for position, group in enumerate(groups):
        for variant in group:
            yield from _never_legal(rule, [*groups[:position], [variant], *groups[position + 1 :]])


def _never_legal(rule: Rule, groups: list[list[Any]]) -> list[Problem]:
    first: list[Problem] = []
    for sections in product(*groups):
        broken = list(rule(*sections))
        if not broken:
            return []
        first = first or broken
    return first
