"""From YAML text and `key=value` overrides to a checked config: every problem at once, each with its path."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tunery.errors import ConfigError, Problem, did_you_mean
from tunery.schema.fields import branches, element, is_block, members, tag_of
from tunery.schema.refusals import refusals
from tunery.schema.rules import broken_rules
from tunery.schema.run import RunConfig
from tunery.schema.spec import Spec
from tunery.schema.utf8 import has_utf8_path
from tunery.schema.yaml_text import parse_yaml, read_yaml

Document = dict[str, Any]
_PATHS: Final = {"data": ("train", "validation", "test"), "model": ("name",)}


def read_document(path: Path) -> Document:
    """Read a config file; relative data and model paths that exist beside it are taken from there.

    Raises:
        ConfigError: when the file is missing, not UTF-8, not YAML, or not a mapping.
    """
    if not has_utf8_path(path):
        message = "the path of a config must be UTF-8; rename the file or folder"
        raise ConfigError([Problem("", message)], source=str(path))
    document = read_yaml(path)
    if not isinstance(document, dict):
        what = "empty" if document is None else f"a {type(document).__name__}"
        message = f"a config must be a mapping of sections (task, data, …), but this file is {what}"
        raise ConfigError([Problem("", message)], source=str(path))
    return anchored(document, path.resolve().parent)


def anchored(document: Document, folder: Path) -> Document:
    """A copy in which relative names of data files and of a model folder that exist in `folder` are absolute."""

    def anchor(value: Any) -> Any:
        beside = isinstance(value, str) and value and os.path.exists(folder / value)
        return str(folder / value) if beside else value

    found = dict(document)
    for name, keys in _PATHS.items():
        section = document.get(name)
        if isinstance(section, dict) and not section.get("dataset"):
            found[name] = {key: anchor(value) if key in keys else value for key, value in section.items()}
    return found


def override(document: Document, assignments: Iterable[str]) -> Document:
    """A copy of `document` with `key.path=value` assignments applied in order; values are YAML.

    Raises:
        ConfigError: for every assignment that is not one.
    """
    result = normalise(document)
    problems: list[Problem] = []
    for assignment in assignments:
        path, _, text = assignment.partition("=")
        if not all(path.split(".")) or not text.strip():
            problems.append(Problem(assignment, "an override is written key.path=value, for example optim.lr=1e-4"))
            continue
        try:
            value = parse_yaml(text, source="the overrides")
        except ConfigError as error:
            problems += [Problem(assignment, problem.message) for problem in error.problems]
            continue
        keys, before = path.split("."), result
        result = normalise(_assigned(result, keys, value))
        if len(keys) > 1 and (section := keys[0]) in RunConfig.model_fields:
            field = RunConfig.model_fields[section]
            result[section] = _switched(result[section], before.get(section), field, keys[1:])
    if problems:
        raise ConfigError(problems, source="the overrides")
    return result


def _assigned(document: Any, keys: list[str], value: Any) -> Any:
    if not keys:
        return value
    inside = document if isinstance(document, Mapping) else {}
    return {**inside, keys[0]: _assigned(inside.get(keys[0]), keys[1:], value)}


def _switched(now: Any, before: Any, field: FieldInfo, keys: Sequence[str]) -> Any:
    """`now`, where an assignment to `keys` below `field` may have made another choice: what only the choice `before`
    has is left out where it says no more than a default, as `r: 8` in the config that `tunery init` writes."""
    key, *below = keys
    if not isinstance(now, Mapping) or not isinstance(before, Mapping):
        return now
    old = {name: inner for spec in branches(before, field).values() for name, inner in spec.model_fields.items()}
    if below:
        return {**now, key: _switched(now[key], before.get(key), old[key], below)} if key in old else now
    names = now[key] if isinstance(now[key], list) else [now[key]]
    if key != tag_of(field) or not all(isinstance(name, str) and name in members(field) for name in names):
        return now
    kept = {inner for name in names for inner in members(field)[name].model_fields}
    return {name: value for name, value in now.items() if name in kept or not _is_default(value, old.get(name))}


def _is_default(value: Any, field: FieldInfo | None) -> bool:
    return field is not None and (tuple(value) if isinstance(value, list) else value) == field.default


def normalise(document: Document) -> Document:
    """Write choices out in full: `peft: lora` becomes `peft: {method: lora}`; `optim: {lr: 1}` gets its name."""
    fields = RunConfig.model_fields
    return {key: expanded(value, fields[key]) if key in fields else value for key, value in document.items()}


def expanded(value: Any, field: FieldInfo) -> Any:
    """`value` in the place of `field`, with every choice written out in full."""
    specs, tag, item = members(field), tag_of(field), element(field)
    if item is not None and isinstance(value, list | tuple):
        return [expanded(entry, item) for entry in value]
    if specs and tag and _is_name(value):
        return {tag: value}
    if not specs or not isinstance(value, Mapping):
        return value
    if tag and tag not in value and (name := _default_name(value, field)):
        value = {tag: name, **value}
    chosen = list((branches(value, field) or specs).values())
    return {
        key: _inside(sub, [specs[key]]) if is_block(key, sub, field) else _key(key, sub, chosen)
        for key, sub in value.items()
    }


def _inside(value: Mapping[Any, Any], specs: list[type[Spec]]) -> Document:
    return {key: _key(key, sub, specs) for key, sub in value.items()}


def _key(key: Any, value: Any, specs: list[type[Spec]]) -> Any:
    found = [spec.model_fields[key] for spec in specs if key in spec.model_fields]
    return expanded(value, found[0]) if found else value


def _is_name(value: Any) -> bool:
    names = value if isinstance(value, list) and value else [value]
    return all(isinstance(name, str) for name in names)


def _default_name(value: Mapping[Any, Any], field: FieldInfo) -> str | None:
    """The tag of the field's default, unless a key of `value` belongs to another member alone."""
    if field.is_required() or field.default is None:
        return None
    elsewhere = {key for spec in members(field).values() for key in spec.model_fields}
    if elsewhere.isdisjoint(set(value) - set(type(field.default).model_fields)):
        return str(getattr(field.default, str(tag_of(field))))
    return None


def validate(document: Document, *, source: str = "config") -> RunConfig:
    """Check every section and every rule between sections.

    Raises:
        ConfigError: with all problems at once; ranges are refused, because one run has one value.
    """
    document = normalise(document)
    problems = list(misfits(document, searched=False))
    sections: dict[str, Any] = {}
    for name in sound(problems):
        try:
            sections[name] = read_section(name, document)
        except ConfigError as error:
            problems += error.problems
    problems += broken_rules(sections)
    if problems:
        raise ConfigError(problems, source=source)
    return RunConfig(**sections)


def with_absolute_names(config: RunConfig) -> RunConfig:
    """The same run, wherever it is asked for later: names relative to the current directory become absolute."""
    return validate(anchored(config.model_dump(mode="json"), Path.cwd()))


def misfits(document: Document, *, searched: bool) -> Iterator[Problem]:
    """Everything the schema refuses in a document, section by section; rules between sections are not asked."""
    fields = RunConfig.model_fields
    for name in document:
        if name not in fields:
            yield Problem(str(name), f"unknown section; {did_you_mean(name, fields)}")
    for name, field in fields.items():
        if name in document:
            yield from refusals(document[name], field, name, searched=searched)
        elif field.is_required():
            yield Problem(name, "this section is required")


def sound(problems: Iterable[Problem]) -> list[str]:
    """The sections that none of the problems is about."""
    broken = {problem.path.partition(".")[0] for problem in problems}
    return [name for name in RunConfig.model_fields if name not in broken]


def read_section(name: str, document: Document) -> Any:
    """The value of one section of a document that has no misfits there; its default where the document is silent.

    Raises:
        ConfigError: when a rule inside the section is broken.
    """
    if name not in document:
        return RunConfig.model_fields[name].default
    try:
        return _adapter(name).validate_python(document[name])
    except ValidationError as error:
        raise ConfigError([Problem(name, detail["msg"]) for detail in error.errors()]) from error


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(get_type_hints(RunConfig, include_extras=True)[name])
