"""A space as a list of parameters, each with the choices that make it exist."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic.fields import FieldInfo

from tunery.schema.config.run import RunConfig
from tunery.schema.reading.document import Document
from tunery.schema.reading.fields import branches, is_block, members, tag_of
from tunery.schema.spec import Choices, Domain, Range, Spec

When = Mapping[str, tuple[str, ...]]
"""Under which choices something exists: path of the choice -> names, one of which has to be chosen."""


class Parameter(NamedTuple):
    """One thing that a study searches."""

    path: str
    domain: Domain
    field: FieldInfo
    when: When
    """Empty: in every trial."""


def parameters(document: Document) -> Iterator[Parameter]:
    """Every parameter of a document that `with_domains` returned, each after the choices above it."""
    for name, field in RunConfig.model_fields.items():
        if name in document:
            yield from _of_field(document[name], field, name, {})


def _of_field(value: Any, field: FieldInfo, path: str, when: When) -> Iterator[Parameter]:
    if isinstance(value, Range | Choices):
        yield Parameter(path, value, field, when)
    elif isinstance(value, Mapping) and members(field):
        yield from _of_section(value, field, path, when)


def _of_section(value: Mapping[str, Any], field: FieldInfo, path: str, when: When) -> Iterator[Parameter]:
    tag, chosen = tag_of(field), branches(value, field)
    choice = f"{path}.{tag}"
    if tag is not None and isinstance(value.get(tag), Choices):
        yield Parameter(choice, value[tag], next(iter(chosen.values())).model_fields[tag], when)
    for key, inner in value.items():
        if is_block(key, inner, field):
            for name, sub in inner.items():
                path_of_key = f"{path}.{key}.{name}"
                yield from _of_field(sub, chosen[key].model_fields[name], path_of_key, {**when, choice: (key,)})
        elif key != tag and (owners := owners_of(key, value, chosen)):
            condition = when if len(owners) == len(chosen) else {**when, choice: owners}
            yield from _of_field(inner, chosen[owners[0]].model_fields[key], f"{path}.{key}", condition)


def owners_of(key: str, section: Mapping[str, Any], chosen: Mapping[str, type[Spec]]) -> tuple[str, ...]:
    """Those branches of a section for which a flat key of it is meant: they have it, and not in their own block."""

    def is_meant(name: str, spec: type[Spec]) -> bool:
        block = section.get(name)
        return key in spec.model_fields and not (isinstance(block, Mapping) and key in block)

    return tuple(name for name, spec in chosen.items() if is_meant(name, spec))
