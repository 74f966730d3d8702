"""The schema as documents: JSON Schema for programs, Markdown tables for people."""

import json
from collections.abc import Iterable, Iterator, Mapping
from inspect import cleandoc
from typing import Any, Final, get_args

from pydantic.fields import FieldInfo

from tunery.schema.config.run import RunConfig
from tunery.schema.reading.fields import (
    default_domain,
    element,
    members,
    tag_of,
    type_text,
    written_name,
    written_names,
)
from tunery.schema.reading.yaml_text import parse_yaml
from tunery.schema.results.comparison import ComparisonResult
from tunery.schema.results.run import RunResult
from tunery.schema.results.storage import Storage
from tunery.schema.results.study import StudyResult
from tunery.schema.space.default import SEARCHED
from tunery.schema.space.yaml_file import default_space, domain_text
from tunery.schema.spec import Choices, Domain, Spec

RECORDS: Final[Mapping[str, tuple[str, type[Spec]]]] = {
    "result": ("result.json", RunResult),
    "study": ("study.json", StudyResult),
    "comparison": ("comparison.json", ComparisonResult),
    "storage": ("`storage` of `tunery report --json`", Storage),
}
"""Title and outermost class of every record that has a schema, by its name in `tunery schema`."""

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


def config_schema() -> dict[str, Any]:
    """JSON Schema of a config with every choice written out in full."""
    return {"$schema": _DIALECT, **RunConfig.model_json_schema()}


def record_schema(name: str) -> dict[str, Any]:
    """JSON Schema of one of the `RECORDS`."""
    _, root = RECORDS[name]
    return {"$schema": _DIALECT, **root.model_json_schema(mode="serialization")}


def config_markdown(pictures: Pictures) -> str:
    """The reference of every section, choice and key of a config, with `pictures` under the headings of choices."""
    fields = RunConfig.model_fields
    plain = {name: field for name, field in fields.items() if not _specs(field)}
    blocks = [_PREFACE, "## Top level\n", _config_table("", plain)]
    for name, field in fields.items():
        if name not in plain:
            blocks += _section(name, field, pictures, level=2)
    return "\n".join(blocks)


def record_markdown(name: str) -> str:
    """The reference of one of the `RECORDS`, and of all records inside it."""
    title, root = RECORDS[name]
    blocks, waiting, done = [f"# {title}\n", f"{_doc(root)}\n"], [root], {root}
    while waiting:
        spec = waiting.pop(0)
        blocks += [] if spec is root else [f"## {spec.__name__}\n", f"{_doc(spec)}\n"]
        rows, nested = [], list[type[Spec]]()
        for key, field in spec.model_fields.items():
            specs = _specs(field)
            type_name = ", ".join(inner.__name__ for inner in specs) or type_text(field)
            rows.append((f"`{key}`", type_name, _description(field)))
            nested += [inner for inner in specs if inner not in done]
        blocks.append(_table(("key", "type", "meaning"), rows))
        waiting += dict.fromkeys(nested)
        done |= set(nested)
    return "\n".join(blocks)


def space_document() -> Any:
    """The default search space as plain data."""
    return parse_yaml(default_space(), source="the default space")


def space_markdown() -> str:
    """The default search space as a page."""
    return f"# The default space\n\n```yaml\n{default_space()}```\n"


def _section(path: str, field: FieldInfo, pictures: Pictures, *, level: int) -> Iterator[str]:
    listed, specs = element(field), _specs(field)
    tag = tag_of(listed or field)
    yield f"{'#' * level} {path}\n"
    yield f"{_description(field)}{' A list.' if listed else ''}\n"
    if tag is not None:
        yield f"Choices of `{path}.{tag}`: {', '.join(f'`{_name(spec, tag)}`' for spec in specs)}.\n"
        if searched := _searched(path, written_names(default_domain(field), members(field))):
            yield f"Searched: {searched}.\n"
    for spec in specs:
        keys = {key: inner for key, inner in spec.model_fields.items() if key != tag}
        if tag is not None:
            yield f"{'#' * (level + 1)} {path}: {_name(spec, tag)}\n"
        yield f"{_doc(spec)}\n"
        if (path, _name(spec, tag)) in pictures:
            yield f"```text\n{pictures[path, _name(spec, tag)]}\n```\n"
        if keys:
            yield _config_table(f"{path}.", keys)
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


def _config_table(prefix: str, fields: dict[str, FieldInfo]) -> str:
    rows = []
    for key, field in fields.items():
        values = f"{'one of the choices' if tag_of(field) else 'keys'} below" if members(field) else type_text(field)
        searched = _searched(f"{prefix}{key}", default_domain(field))
        rows.append((f"`{prefix}{key}`", values, _default(field), searched, _description(field)))
    return _table(("key", "value", "default", "searched", "meaning"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    if isinstance(field.default, Spec):
        return f"`{written_name(type(field.default))}`" if tag_of(field) else "as below"
    return f"`{json.dumps(field.default)}`"


def _searched(path: str, domain: Domain | None) -> str:
    """What a study takes at a path by itself."""
    if domain is None or path.partition(".")[0] not in SEARCHED:
        return ""
    if isinstance(domain, Choices):
        return ", ".join(f"`{json.dumps(value)}`" for value in domain.values)
    return domain_text(domain)


def _description(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _doc(spec: type[Spec]) -> str:
    return " ".join(cleandoc(spec.__doc__ or "").split())
