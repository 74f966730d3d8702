"""Every number of a config has a lowest and a highest value, and what is beyond is refused with that bound."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from tunery.schema.config.run import RunConfig
from tunery.schema.reading.fields import element, is_numeric, members, type_text
from tunery.schema.reading.validation import value_problems
from tunery.schema.spec import Spec


def numeric_fields(spec: type[Spec], path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for key, field in spec.model_fields.items():
        if is_numeric(field):
            yield f"{path}{key}", field
        for name, inner in members(element(field) or field).items():
            yield from numeric_fields(inner, f"{path}{key}.{name + '.' if name else ''}")


def numbers_of(schema: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of a JSON Schema that is a number, with where it stands."""
    if isinstance(schema, dict):
        if schema.get("type") in ("integer", "number"):
            yield place, schema
        for key, inner in schema.items():
            yield from numbers_of(inner, f"{place}/{key}")
    elif isinstance(schema, list):
        for number, inner in enumerate(schema):
            yield from numbers_of(inner, f"{place}/{number}")


FIELDS = dict(numeric_fields(RunConfig))


def test_the_json_schema_knows_both_bounds_of_every_number() -> None:
    found = dict(numbers_of(RunConfig.model_json_schema()))
    assert len(found) > 50
    unbounded = [
        place
        for place, number in found.items()
        if not ({"minimum", "exclusiveMinimum"} & number.keys() and {"maximum", "exclusiveMaximum"} & number.keys())
    ]
    assert unbounded == [
        "/$defs/Checkpoint/properties/max_disk/anyOf/0/anyOf/0"
    ]  # its text form has the bounds in words


@pytest.mark.parametrize("path", FIELDS)
def test_absurd_values_are_refused_with_the_bound(path: str) -> None:
    words = ("less than", "greater than", "finite", type_text(FIELDS[path]))
    for value in (10**30, -(10**30), 10**4000, 1e300, -1e300, 1e400):
        (problem,) = value_problems(value, FIELDS[path], path, searched=False)
        assert problem.path == path
        assert any(word in problem.message for word in words)
        assert len(problem.message) < 400
