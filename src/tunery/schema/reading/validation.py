"""Walks a document beside the schema and says everything that is wrong with it, each with its dotted path."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Final, TypeGuard

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from tunery.errors import Problem, did_you_mean
from tunery.schema.reading.fields import (
    alternatives,
    branches,
    element,
    ends,
    is_block,
    is_integer,
    is_mapping,
    is_numeric,
    is_optional,
    literal_names,
    members,
    tag_of,
    type_text,
    written_name,
)
from tunery.schema.spec import Choices, Range, Spec

_ONE_VALUE: Final = "a range or a list of choices is for a study; write one value, or use `tunery search`"
_BOUND_ERRORS: Final = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number")
_MOST_STEPS: Final = 2**53
"""Steps of a range: floats cannot represent more different numbers."""


def section_problems(
    document: Mapping[Any, Any], fields: Mapping[str, FieldInfo], *, searched: bool
) -> Iterator[Problem]:
    """Everything the schema refuses in a document, section by section."""
    for name in document:
        if name not in fields:
            paths = [
                f"{section}.{name}"
                for section, field in fields.items()
                if any(name in spec.model_fields for spec in members(field).values())
            ]
            meant = f"did you mean {' or '.join(paths)}?" if paths else did_you_mean(name, fields)
            yield Problem(str(name), f"unknown section; {meant}")
    for name, field in fields.items():
        if name in document:
            yield from value_problems(document[name], field, name, searched=searched)
        elif field.is_required():
            yield Problem(name, "this section is required")


def value_problems(value: Any, field: FieldInfo, path: str, *, searched: bool) -> Iterator[Problem]:
    """Everything the schema refuses about `value` in the place of `field`.

    With `searched`, `value` may hold a `Range` or `Choices`: every end and every choice is checked. A key is
    known when one of the chosen branches has it, and its value must be legal in each branch that has it.
    """
    item = element(field)
    if (value is None and is_optional(field)) or isinstance(value, tuple(members(field).values())):
        return  # a spec was checked when it was made
    if item is not None and isinstance(value, list | tuple):
        for position, entry in enumerate(value):
            yield from value_problems(entry, item, f"{path}.{position}", searched=searched)
    elif item is not None and isinstance(value, str) and value in members(item):
        yield Problem(path, f"must be a list; write [{value}]")
    elif members(field):
        yield from _mapping_problems(value, field, path, searched=searched)
    elif isinstance(value, Range | Choices) and not searched:
        yield Problem(path, _ONE_VALUE)
    elif isinstance(value, Range) and not is_numeric(field):
        yield Problem(path, f"a range is for numbers; write a list of choices, each {type_text(field)}")
    elif isinstance(value, Range) and is_integer(field) and value.step is not None and value.step % 1:
        yield Problem(path, f"the step of a range of whole numbers must be one too, but got {quoted(value.step)}")
    else:
        for single in ends(value):
            yield from _single_value_problems(single, field, path)


def range_problem(value: Mapping[Any, Any]) -> str | None:
    """What is wrong with a range as it is written in a config, if anything."""
    if unknown := [key for key in value if key not in ("low", "high", "log", "step")]:
        return f"a range has the keys low, high, log and step, but got {unknown[0]!r}"
    low, high, log, step = value.get("low"), value.get("high"), value.get("log"), value.get("step")
    if not _is_number(low) or not _is_number(high) or not low <= high:
        return f"`low <= high` must hold for two numbers, but got low={quoted(low)}, high={quoted(high)}"
    if log is not None and not isinstance(log, bool):
        return f"log must be true or false, but got {quoted(log)}"
    if log and low <= 0:
        return f"a logarithmic range needs `low > 0`, but got low={quoted(low)}"
    if log and step is not None:
        return "a range is either logarithmic or stepped; remove log or step"
    if step is not None and not (_is_number(step) and step > 0):
        return f"step must be a number > 0, but got {quoted(step)}"
    if step is not None and high - low > _MOST_STEPS * step:
        return f"a range may have 2**53 steps, the numbers that floats tell apart; {quoted(step)} is too small a step"
    return None


def quoted(value: Any) -> str:
    """A value as the user may have written it, cut to a readable length."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _mapping_problems(value: Any, field: FieldInfo, path: str, *, searched: bool) -> Iterator[Problem]:
    specs, tag = members(field), tag_of(field)
    if not isinstance(value, Mapping):
        menu = f" or one of {', '.join(_menu(specs))}" if tag else ""
        remedy = "" if value is not None or field.is_required() else "; remove the line to take the defaults"
        yield Problem(path, f"must be a mapping of keys{menu}, but got {quoted(value)}{remedy}")
        return
    if tag is not None:
        if value.get(tag) is None:
            yield Problem(f"{path}.{tag}", _missing_tag_message(value, specs, f"{path}.{tag}"))
        else:
            yield from _tag_problems(value[tag], specs, f"{path}.{tag}", searched=searched)
    if chosen := branches(value, field):
        yield from _key_problems(
            {key: v for key, v in value.items() if key != tag}, chosen, field, path, searched=searched
        )
        yield from dict.fromkeys(_missing_key_problems(value, chosen, path))


def _missing_tag_message(value: Mapping[Any, Any], specs: Mapping[str, type[Spec]], path: str) -> str:
    """For a choice whose name is missing: which it may be, by the keys that are there."""
    keys = [key for key in value if key != path.rpartition(".")[2]]
    fitting = [name for name, spec in specs.items() if set(keys) <= set(spec.model_fields)]
    if not keys or not fitting or len(fitting) == len(specs):
        return f"required; choose from: {', '.join(_menu(specs))}"
    example = ", for example" if len(fitting) > 1 else ""
    belong = f"{' and '.join(map(str, keys))} belong{'s' if len(keys) == 1 else ''} to {' or '.join(fitting)}"
    return f"required, because {belong}; write{example} {path}={fitting[0]}"


def _tag_problems(given: Any, specs: Mapping[str, type[Spec]], path: str, *, searched: bool) -> Iterator[Problem]:
    if isinstance(given, Range):
        yield Problem(path, f"a range is for numbers; write a list of names from: {', '.join(_menu(specs))}")
    elif isinstance(given, Choices) and not searched:
        yield Problem(path, _ONE_VALUE)
    else:
        for name in ends(given):
            if not isinstance(name, str) or name not in specs:
                yield Problem(path, f"unknown choice {quoted(name)}; {did_you_mean(name, _menu(specs))}")


def _menu(specs: Mapping[str, type[Spec]]) -> list[str]:
    return sorted(map(written_name, specs.values()))


def _key_problems(
    keys: Mapping[Any, Any], chosen: Mapping[str, type[Spec]], field: FieldInfo, path: str, *, searched: bool
) -> Iterator[Problem]:
    blocks = [key for key, value in keys.items() if is_block(key, value, field)]
    names = {key for spec in chosen.values() for key in spec.model_fields}
    yield from _unknown_key_problems(
        [key for key in keys if key not in blocks and key not in names], chosen, field, path
    )
    for key, value in keys.items():
        if key in blocks:
            yield from _block_problems(key, value, chosen, field, path, searched=searched)
            continue
        fields = [spec.model_fields[key] for spec in chosen.values() if key in spec.model_fields]
        path_of_key = f"{path}.{key}"
        yield from dict.fromkeys(
            p for inner in fields for p in value_problems(value, inner, path_of_key, searched=searched)
        )


def _block_problems(
    name: str, keys: Mapping[Any, Any], chosen: Mapping[str, type[Spec]], field: FieldInfo, path: str, *, searched: bool
) -> Iterator[Problem]:
    path_of_key, tag = f"{path}.{name}", tag_of(field)
    if not searched:
        yield Problem(
            path_of_key, f"keys for one choice alone are for a study; write them beside {tag}, without {name!r}"
        )
    elif name not in chosen:
        yield Problem(path_of_key, f"{name!r} is none of the choices of {path}.{tag}; add it there, or remove this")
    elif tag in keys:
        yield Problem(f"{path_of_key}.{tag}", f"the choice is made in {path}.{tag}; remove this key")
    else:
        yield from _key_problems(keys, {name: chosen[name]}, field, path_of_key, searched=searched)


def _missing_key_problems(value: Mapping[Any, Any], chosen: Mapping[str, type[Spec]], path: str) -> Iterator[Problem]:
    for name, spec in chosen.items():
        given = {*value, *(value[name] if isinstance(value.get(name), Mapping) else ())}
        for key in (key for key, field in spec.model_fields.items() if field.is_required() and key not in given):
            yield Problem(f"{path}.{key}", "this key is required")


def _unknown_key_problems(
    keys: Sequence[Any], chosen: Mapping[str, type[Spec]], field: FieldInfo, path: str
) -> Iterator[Problem]:
    """Keys of other choices, in one problem since they have one cause and one remedy, and keys of no choice."""
    owners = {key: [name for name, spec in members(field).items() if key in spec.model_fields] for key in keys}
    foreign = [key for key in keys if owners[key]]
    names = [written_name(spec) for spec in chosen.values()]
    here, whole = " or ".join(map(repr, names)), names[0]
    if len(foreign) == 1:
        belongs = f"this key belongs to {', '.join(sorted(owners[foreign[0]]))}, not to {here}; remove it"
        choice = f", or write {path}.{tag_of(field)}={owners[foreign[0]][0]}" if len(owners[foreign[0]]) == 1 else ""
        yield Problem(f"{path}.{foreign[0]}", f"{belongs}, or replace all of {path}: {whole}{choice}")
    elif foreign:
        belong = f"the keys {', '.join(foreign)} belong to other choices than {here}; remove them"
        yield Problem(path, f"{belong}, or replace all of {path}: {whole}")
    allowed = {key for spec in chosen.values() for key in spec.model_fields}
    for key in keys:
        if not owners[key]:
            yield Problem(f"{path}.{key}", f"unknown key; {did_you_mean(key, allowed)}")


def _single_value_problems(value: Any, field: FieldInfo, path: str) -> Iterator[Problem]:
    if isinstance(value, Mapping) and not is_mapping(field) and not {"low", "high"}.isdisjoint(value):
        yield Problem(path, range_problem(value) or _ONE_VALUE)
    elif isinstance(value, bool) and is_numeric(field):
        yield Problem(path, f"must be {type_text(field)}, but got {quoted(value)}")
    else:
        try:
            _adapter(field).validate_python(value)
        except ValidationError as error:
            yield _reworded(error.errors()[0], field, path, value)


@cache
def _adapter(field: FieldInfo) -> TypeAdapter[Any]:
    annotation: Any = Annotated[field.annotation, Field(), *field.metadata]
    return TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False))


def _reworded(detail: ErrorDetails, field: FieldInfo, path: str, value: Any) -> Problem:
    if len(alternatives(field.annotation)) == 1:
        path_of_key = ".".join([path, *(str(part) for part in detail["loc"])])
        if detail["type"] == "literal_error":
            names = literal_names(field.annotation)
            return Problem(
                path_of_key, f"unknown choice {quoted(detail['input'])}; {did_you_mean(detail['input'], names)}"
            )
        if detail["type"] in _BOUND_ERRORS:
            rule = detail["msg"].replace("Input should be", "must be")
            return Problem(path_of_key, f"{rule}, but got {quoted(detail['input'])}")
    return Problem(path, f"must be {type_text(field)}, but got {quoted(value)}")
