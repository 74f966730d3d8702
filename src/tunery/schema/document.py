"""From YAML text and `key=value` overrides to a checked config: every problem at once, each with its path."""

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from tunery.errors import ConfigError, Problem, did_you_mean
from tunery.schema.fields import members, tag_name
from tunery.schema.run import RunConfig, broken_rules
from tunery.schema.spec import Spec

Document = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML 1.2 floats (`1e-5` is a number) and no duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := [key for position, key in enumerate(keys) if key in keys[:position]]:
            line = node.start_mark.line + 1
            raise yaml.constructor.ConstructorError(None, None, f"key {twice[0]!r} stands twice below line {line}")
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"), list("-+.0123456789")
)
_Loader.yaml_implicit_resolvers = {
    first: sorted(rules, key=lambda rule: rule[0] == "tag:yaml.org,2002:float")
    for first, rules in _Loader.yaml_implicit_resolvers.items()
}


def parse_yaml(text: str, *, source: str) -> Any:
    """Parse YAML; `ConfigError` names the source and the line."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigError([Problem("", f"not valid YAML: {reason}")], source=source) from error


def read_document(path: Path) -> Document:
    """Read a config file; relative data and model paths that exist beside it are taken from there."""
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise ConfigError([Problem("", f"there is no file {str(path)!r}")], source=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem("", f"cannot be read: {error}")], source=str(path)) from error
    document = parse_yaml(text, source=str(path))
    if not isinstance(document, dict):
        message = "a config is a mapping of sections (task, data, …); this file is " + (
            "empty" if not text.strip() else "not one"
        )
        raise ConfigError([Problem("", message)], source=str(path))
    return _anchored(document, path.resolve().parent)


def _anchored(document: Document, folder: Path) -> Document:
    def anchor(value: Any) -> Any:
        found = isinstance(value, str) and value and (folder / value).exists()
        return str(folder / value) if found else value

    places = {"data": ("train", "validation", "test"), "model": ("name",)}
    for section, keys in places.items():
        if isinstance(document.get(section), dict):
            document[section] = {k: anchor(v) if k in keys else v for k, v in document[section].items()}
    return document


def override(document: Document, assignments: Iterable[str]) -> Document:
    """A copy of `document` with `key.path=value` assignments applied; values are YAML."""
    result: Document = dict(document)
    problems = []
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not all(path.split(".")):
            problems.append(Problem(assignment, "an override is written key.path=value, for example optim.lr=1e-4"))
            continue
        result = _assigned(result, path.split("."), parse_yaml(text, source=f"override {assignment!r}"))
    if problems:
        raise ConfigError(problems, source="the overrides")
    return result


def _assigned(document: Any, keys: list[str], value: Any) -> Any:
    if not keys:
        return value
    inside = document if isinstance(document, Mapping) else {}
    return {**inside, keys[0]: _assigned(inside.get(keys[0]), keys[1:], value)}


def normalise(document: Document) -> Document:
    """Write choices out in full: `peft: lora` becomes `peft: {method: lora}`; `optim: {lr: 1}` gets its name."""
    return {
        key: _expanded(value, RunConfig.model_fields[key]) if key in RunConfig.model_fields else value
        for key, value in document.items()
    }


def _expanded(value: Any, field: FieldInfo) -> Any:
    specs = members(field)
    names = value if isinstance(value, list) and value else [value]
    if field.discriminator and all(isinstance(name, str) for name in names):
        return {field.discriminator: value}
    if not isinstance(value, dict) or not specs:
        return value
    if field.discriminator and field.discriminator not in value and set(value) <= set(type(field.default).model_fields):
        value = {field.discriminator: getattr(field.default, str(field.discriminator)), **value}
    inner = {key: sub for spec in specs.values() for key, sub in spec.model_fields.items()}
    return {key: _expanded(sub, inner[key]) if key in inner else sub for key, sub in value.items()}


def validate(document: Document, *, source: str = "config") -> RunConfig:
    """Check every section and every rule between sections.

    Raises:
        ConfigError: with all problems at once.
    """
    document = normalise(document)
    hints = get_type_hints(RunConfig, include_extras=True)
    problems = [Problem(str(k), f"unknown section; {did_you_mean(k, hints)}") for k in document if k not in hints]
    sections: dict[str, Any] = {}
    for name, field in RunConfig.model_fields.items():
        if name not in document:
            if field.is_required():
                problems.append(Problem(name, "this section is required"))
            else:
                sections[name] = field.default
            continue
        try:
            sections[name] = TypeAdapter(hints[name]).validate_python(document[name])
        except ValidationError as error:
            problems.extend(_problem(name, field, detail) for detail in error.errors())
    problems.extend(broken_rules(sections))
    if problems:
        raise ConfigError(problems, source=source)
    return RunConfig(**sections)


def _problem(section: str, field: FieldInfo, detail: ErrorDetails) -> Problem:
    path, specs = _locate(section, field, detail["loc"])
    if detail["type"] == "extra_forbidden":
        known = sorted({key for spec in specs for key in spec.model_fields})
        return Problem(path, f"unknown key; {did_you_mean(path.rpartition('.')[2], known)}")
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        tag = detail["ctx"]["discriminator"].strip("'")
        choices = re.findall(r"'([^']+)'", detail["ctx"].get("expected_tags", "")) or list(_tags(specs))
        given = detail["input"].get(tag) if isinstance(detail["input"], dict) else detail["input"]
        if given is None:
            return Problem(f"{path}.{tag}", f"required; choose from: {', '.join(sorted(choices))}")
        return Problem(f"{path}.{tag}", f"unknown choice {given!r}; {did_you_mean(given, choices)}")
    if detail["type"] == "literal_error":
        choices = re.findall(r"'([^']+)'", detail["ctx"]["expected"])
        return Problem(path, f"unknown choice {detail['input']!r}; {did_you_mean(detail['input'], choices)}")
    if detail["type"] == "missing":
        return Problem(path, "required key is missing")
    message = detail["msg"][0].lower() + detail["msg"][1:]
    return Problem(path, f"{message}, but got {detail['input']!r}")


def _tags(specs: Iterable[type[Spec]]) -> Iterator[str]:
    for spec in specs:
        if tag := tag_name(spec):
            yield spec.model_fields[tag].default


def _locate(section: str, field: FieldInfo, location: tuple[int | str, ...]) -> tuple[str, list[type[Spec]]]:
    """The dotted path of an error (union tags taken out) and the specs whose keys are legal there."""
    path, specs, here = [section], members(field), list(members(field).values())
    for part in location:
        if part in specs:
            here, specs = [specs[str(part)]], {}
            continue
        owner = next((spec for spec in here if part in spec.model_fields), None)
        path.append(str(part))
        if owner is not None:
            specs = members(owner.model_fields[str(part)])
            here = list(specs.values()) or here
    return ".".join(path), here
