"""From YAML text and `key=value` overrides to a checked config: every problem at once, each with its path."""

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tunery.errors import ConfigError, Problem, did_you_mean
from tunery.schema.config.rules import broken_rules
from tunery.schema.config.run import RunConfig
from tunery.schema.reading.fields import branches, members, tag_name, tag_of
from tunery.schema.reading.short_forms import written_out
from tunery.schema.reading.utf8 import has_utf8_path
from tunery.schema.reading.validation import section_problems
from tunery.schema.reading.yaml_text import parse_yaml, read_yaml
from tunery.schema.spec import Choices, Spec

Document = dict[str, Any]
_DATA_SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".parquet")
_PATHS: Final = {
    "data": ("train", "validation", "test", "annotations"),
    "model": ("name",),
    "pretrain": ("corpus",),
    "regularization": ("model", "back"),
}


def read_document(path: Path) -> Document:
    """Read a config file; relative data and model paths that exist beside it are taken from there.

    Raises:
        ConfigError: when the file is missing, not UTF-8, not YAML, or not a mapping.
    """
    if (refusal := _refusal(path)) is not None:
        raise ConfigError([Problem("", refusal)], source=str(path))
    document = read_yaml(path)
    if not isinstance(document, dict):
        what = "empty" if document is None else f"a {type(document).__name__}"
        message = f"a config must be a mapping of sections (task, data, …), but this file is {what}"
        raise ConfigError([Problem("", message)], source=str(path))
    return anchored(document, path.resolve().parent)


def _refusal(path: Path) -> str | None:
    """What to say where a path cannot be that of a config: it is missing, a folder, a file of data."""
    if not has_utf8_path(path):
        return "the path of a config must be UTF-8; rename the file or folder"
    if path.suffix.lower() in _DATA_SUFFIXES and path.is_file():
        return f"this is a file of data and no config; `tunery init {shlex.quote(str(path))}` writes a config for it"
    if path.is_dir():
        inside = path / "config.yaml"
        return f"a config is a file, but this is a folder{f'; it has {inside}' if inside.exists() else ''}"
    if not path.exists() and path.parent.is_dir():
        near = [file.name for file in path.parent.iterdir() if file.suffix in (".yaml", ".yml")]
        return f"there is no file {str(path)!r}{f'; {did_you_mean(path.name, near)}' if near else ''}"
    return None


def anchored(document: Document, folder: Path) -> Document:
    """A copy in which relative names of data files and of a model folder that exist in `folder` are absolute: single
    ones, each of a list of choices, and those in blocks, which hold for one choice alone."""

    def anchor(value: Any) -> Any:
        if isinstance(value, Choices):
            return Choices(tuple(map(anchor, value.values)))
        if isinstance(value, list | tuple):
            return [anchor(item) for item in value]
        beside = isinstance(value, str) and value and os.path.lexists(folder / value)
        return str(folder / value) if beside else value

    def within(section: Mapping[Any, Any], keys: Sequence[str]) -> Document:
        return {
            key: within(value, keys) if isinstance(value, Mapping) else anchor(value) if key in keys else value
            for key, value in section.items()
        }

    changed = dict(document)
    for name, keys in _PATHS.items():
        section = document.get(name)
        if isinstance(section, Mapping) and not section.get("dataset"):
            changed[name] = within(section, keys)
    return changed


def override(document: Document, assignments: Iterable[str]) -> Document:
    """A copy of `document` with `key.path=value` assignments applied in order; values are YAML.

    Raises:
        ConfigError: for every assignment that is not one.
    """
    result = normalise(document)
    problems: list[Problem] = []
    for assignment in assignments:
        path, _, text = assignment.partition("=")
        shown = assignment if len(assignment) <= 100 else f"{assignment[:97]}..."
        if not all(path.split(".")) or not text.strip():
            problems.append(Problem(shown, "an override is written key.path=value, for example optim.lr=1e-4"))
            continue
        try:
            value = parse_yaml(text, source="the overrides")
        except ConfigError as error:
            problems += [Problem(shown, problem.message) for problem in error.problems]
            continue
        keys, before = path.split("."), result
        result = normalise(_assigned(result, keys, value))
        if len(keys) > 1 and (section := keys[0]) in RunConfig.model_fields:
            field = RunConfig.model_fields[section]
            result[section] = _without_defaults_of(before.get(section), result[section], field, keys[1:])
    if problems:
        raise ConfigError(problems, source="the overrides")
    return result


def _assigned(document: Any, keys: list[str], value: Any) -> Any:
    if not keys:
        return value
    inside = document if isinstance(document, Mapping) else {}
    return {**inside, keys[0]: _assigned(inside.get(keys[0]), keys[1:], value)}


def _without_defaults_of(before: Any, now: Any, field: FieldInfo, keys: Sequence[str]) -> Any:
    """The value `now` of `field`, where an assignment to `keys` below it may have made another choice: a key that only
    the choice `before` has is left out where it holds its default, as `r: 8` in the config that `tunery init` writes.
    """
    key, *below = keys
    if not isinstance(now, Mapping) or not isinstance(before, Mapping):
        return now
    old = {name: inner for spec in branches(before, field).values() for name, inner in spec.model_fields.items()}
    if below:
        if key not in old:
            return now
        return {**now, key: _without_defaults_of(before.get(key), now[key], old[key], below)}
    names = now[key] if isinstance(now[key], list) else [now[key]]
    if key != tag_of(field) or not all(isinstance(name, str) and name in members(field) for name in names):
        return now
    kept = {inner for name in names for inner in members(field)[name].model_fields}
    return {
        name: value
        for name, value in now.items()
        if name in kept or name not in old or (tuple(value) if isinstance(value, list) else value) != old[name].default
    }


def normalise(document: Document) -> Document:
    """Write choices out in full: `peft: lora` becomes `peft: {method: lora}`; `optim: {lr: 1}` gets its name."""
    return written_out(document, RunConfig.model_fields)


def as_written(spec: Spec) -> Document:
    """What was set on a config, as a document: no defaults, but the names of choices."""
    tag = tag_name(type(spec))
    keys = dict.fromkeys(
        [*([tag] if tag else []), *(key for key in type(spec).model_fields if key in spec.model_fields_set)]
    )
    return {key: _as_written(getattr(spec, key)) for key in keys}


def _as_written(value: Any) -> Any:
    if isinstance(value, Spec):
        return as_written(value)
    return [_as_written(item) for item in value] if isinstance(value, list | tuple) else value


def validate(document: Document, *, source: str = "config") -> RunConfig:
    """Check every section and every rule between sections.

    Raises:
        ConfigError: with all problems at once; ranges are refused, because one run has one value.
    """
    document = normalise(document)
    problems = list(document_problems(document, searched=False))
    sections: dict[str, Any] = {}
    for name in valid_sections(problems):
        try:
            sections[name] = read_section(name, document)
        except ConfigError as error:
            problems += error.problems
    problems += broken_rules(sections)
    if problems:
        raise ConfigError(problems, source=source)
    return RunConfig(**{name: value for name, value in sections.items() if name in document})


def with_absolute_names(config: RunConfig) -> RunConfig:
    """The same run, wherever it is asked for later: names relative to the current directory become absolute."""
    return validate(anchored(config.model_dump(mode="json"), Path.cwd()))


def document_problems(document: Document, *, searched: bool) -> Iterator[Problem]:
    """Everything the schema refuses in a document, section by section; rules between sections are not asked."""
    return section_problems(document, RunConfig.model_fields, searched=searched)


def valid_sections(problems: Iterable[Problem]) -> list[str]:
    """The sections that none of the problems is about."""
    broken = {problem.path.partition(".")[0] for problem in problems}
    return [name for name in RunConfig.model_fields if name not in broken]


def read_section(name: str, document: Document) -> Any:
    """The value of one section of a document that has no problems there; its default where the document has none.

    Raises:
        ConfigError: when a rule inside the section is broken.
    """
    if name not in document:
        return RunConfig.model_fields[name].default
    try:
        return _adapter(RunConfig.model_fields[name]).validate_python(document[name])
    except ValidationError as error:
        raise ConfigError([Problem(name, detail["msg"]) for detail in error.errors()]) from error


@cache
def _adapter(field: FieldInfo) -> TypeAdapter[Any]:
    annotation: Any = Annotated[field.annotation, field]
    return TypeAdapter(annotation)
