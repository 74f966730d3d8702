"""The schema as documents: JSON Schema for programs, Markdown tables for people."""

import json
from collections.abc import Iterable, Iterator, Mapping
from inspect import cleandoc
from typing import Any, Final, get_args

from pydantic.fields import FieldInfo

from tunery.schema.config.run import RunConfig
from tunery.schema.reading.fields import default_domain, element, members, tag_of, type_text, written, written_name
from tunery.schema.reading.yaml_text import parse_yaml
from tunery.schema.results.comparison import ComparisonResult
from tunery.schema.results.run import RunResult
from tunery.schema.results.storage import Storage
from tunery.schema.results.study import StudyResult
from tunery.schema.space.yaml_file import default_space, domain_text
from tunery.schema.spec import Choices, Domain, Spec

Pictures = Mapping[tuple[str, str], str]
"""Text drawings of choices, by section and name: `("schedule", "linear")`."""

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_PREFACE: Final = """\
# Configuration

Written by `make docs` from the schema; the words are the docstrings of its fields.

One file describes one run. `task` and `data` are required, everything else has the default named here. Where a section
offers a choice, its name alone is enough (`peft: lora`). In a study any value may be a range
(`optim.lr: {low: 1.0e-5, high: 1.0e-3, log: true}`) or a list of choices (`peft.method: [full, lora]`); a key that is
itself a list becomes a choice as a list of lists. Where a choice is searched, a mapping under one of its names holds
keys for that one alone (`peft: {method: [lora, pfeiffer], pfeiffer: {dropout: 0.2}}`). The column *searched* is the
range a study takes by itself; all of them in one file: `tunery schema space`.
"""


def json_schema() -> dict[str, Any]:
    """JSON Schema of a config with every choice written out in full."""
    return {"$schema": _DIALECT, **RunConfig.model_json_schema()}


def result_schema() -> dict[str, Any]:
    """JSON Schema of `result.json`."""
    return {"$schema": _DIALECT, **RunResult.model_json_schema(mode="serialization")}


def study_schema() -> dict[str, Any]:
    """JSON Schema of `study.json`."""
    return {"$schema": _DIALECT, **StudyResult.model_json_schema(mode="serialization")}


def comparison_schema() -> dict[str, Any]:
    """JSON Schema of `comparison.json`."""
    return {"$schema": _DIALECT, **ComparisonResult.model_json_schema(mode="serialization")}


def storage_schema() -> dict[str, Any]:
    """JSON Schema of what `tunery report --json` says is stored."""
    return {"$schema": _DIALECT, **Storage.model_json_schema(mode="serialization")}


def markdown(pictures: Pictures) -> str:
    """The reference of every section, choice and key of a config, with `pictures` under the headings of choices."""
    fields = RunConfig.model_fields
    plain = {name: field for name, field in fields.items() if not _specs(field)}
    blocks = [_PREFACE, "## Top level\n", _table("", plain)]
    for name, field in fields.items():
        if name not in plain:
            blocks += _section(name, field, pictures, level=2)
    return "\n".join(blocks)


def result_markdown() -> str:
    """The reference of `result.json`."""
    return _record("result.json", RunResult)


def study_markdown() -> str:
    """The reference of `study.json`."""
    return _record("study.json", StudyResult)


def comparison_markdown() -> str:
    """The reference of `comparison.json`."""
    return _record("comparison.json", ComparisonResult)


def storage_markdown() -> str:
    """The reference of what `tunery report --json` says is stored."""
    return _record("`storage` of `tunery report --json`", Storage)


def space_document() -> Any:
    """The config that `space_text.default_space` writes, as plain data."""
    return parse_yaml(default_space(), source="the default space")


def space_markdown() -> str:
    """The same as a page."""
    return f"# The default space\n\n```yaml\n{default_space()}```\n"


def _record(title: str, root: type[Spec]) -> str:
    blocks, waiting, done = [f"# {title}\n", f"{_doc(root)}\n"], [root], {root}
    while waiting:
        spec = waiting.pop(0)
        blocks += [] if spec is root else [f"## {spec.__name__}\n", f"{_doc(spec)}\n"]
        blocks.append(_record_table(spec.model_fields))
        nested = [inner for field in spec.model_fields.values() for inner in _specs(field) if inner not in done]
        waiting += dict.fromkeys(nested)
        done |= set(nested)
    return "\n".join(blocks)


def _record_table(fields: dict[str, FieldInfo]) -> str:
    rows = [(f"`{key}`", _record_type(field), _said(field)) for key, field in fields.items()]
    return _rows(("key", "type", "meaning"), rows)


def _record_type(field: FieldInfo) -> str:
    names = ", ".join(spec.__name__ for spec in _specs(field))
    return names or type_text(field)


def _section(path: str, field: FieldInfo, pictures: Pictures, *, level: int) -> Iterator[str]:
    listed, specs = element(field), _specs(field)
    tag = tag_of(listed or field)
    yield f"{'#' * level} {path}\n"
    yield f"{_said(field)}{' A list.' if listed else ''}\n"
    if tag is not None:
        yield f"Choices of `{path}.{tag}`: {', '.join(f'`{_name(spec, tag)}`' for spec in specs)}.\n"
        if searched := _domain(written(default_domain(field), members(field))):
            yield f"Searched: {searched}.\n"
    for spec in specs:
        keys = {key: inner for key, inner in spec.model_fields.items() if key != tag}
        if tag is not None:
            yield f"{'#' * (level + 1)} {path}: {_name(spec, tag)}\n"
        yield f"{_doc(spec)}\n"
        if (path, _name(spec, tag)) in pictures:
            yield f"```text\n{pictures[path, _name(spec, tag)]}\n```\n"
        if keys:
            yield _table(f"{path}.", keys)
        for key, inner in keys.items():
            if _specs(inner):
                yield from _section(f"{path}.{key}", inner, pictures, level=level + 1)


def _name(spec: type[Spec], tag: str | None) -> str:
    return written_name(spec) if tag else ""


def _specs(field: FieldInfo) -> list[type[Spec]]:
    """The specs a field holds, alone or in a list or mapping."""

    def inside(annotation: Any) -> Iterator[type[Spec]]:
        if isinstance(annotation, type) and issubclass(annotation, Spec):
            yield annotation
        for arg in get_args(annotation):
            yield from inside(arg)

    return list(dict.fromkeys(inside(field.annotation)))


def _table(prefix: str, fields: dict[str, FieldInfo]) -> str:
    rows = [
        (f"`{prefix}{key}`", _type(field), _default(field), _domain(default_domain(field)), _said(field))
        for key, field in fields.items()
    ]
    return _rows(("key", "value", "default", "searched", "meaning"), rows)


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _type(field: FieldInfo) -> str:
    return f"{'one of the choices' if tag_of(field) else 'keys'} below" if members(field) else type_text(field)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    if isinstance(field.default, Spec):
        tag = tag_of(field)
        return f"`{written_name(type(field.default))}`" if tag else "as below"
    return f"`{json.dumps(field.default)}`"


def _domain(domain: Domain | None) -> str:
    if domain is None:
        return ""
    if isinstance(domain, Choices):
        return ", ".join(f"`{json.dumps(value)}`" for value in domain.values)
    return domain_text(domain)


def _said(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _doc(spec: type[Spec]) -> str:
    return " ".join(cleandoc(spec.__doc__ or "").split())
