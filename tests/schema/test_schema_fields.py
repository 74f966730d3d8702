"""What the schema says about itself."""

from typing import Annotated, Literal

import pytest
from pydantic import Field
from pydantic.fields import FieldInfo

from tunery.schema.config.run import RunConfig
from tunery.schema.config.train import Train
from tunery.schema.reading.fields import (
    alternatives,
    branches,
    default_domain,
    is_integer,
    is_numeric,
    is_optional,
    is_sequence,
    literal_names,
    members,
    tag_of,
    type_text,
)
from tunery.schema.spec import Choices, Range


def field(annotation: object) -> FieldInfo:
    return FieldInfo.from_annotation(annotation)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (str, "a string"),
        (Annotated[int, Field(ge=1, le=9)], "a whole number >= 1 and <= 9"),
        (Annotated[float, Field(gt=0)] | None, "a number > 0, or null"),
        (Annotated[float, Field(gt=0, lt=1)] | Literal["tuned"], "a number > 0 and < 1, or tuned"),
        (Literal["a", "b"], "one of a, b"),
        (tuple[bool, ...], "a list, each true or false"),
        (Annotated[tuple[Literal["a"], ...], Field(min_length=2)], "a list of at least 2, each a"),
        (tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]], "a list of 2, each a number >= 0"),
        (dict[str, int], "a mapping"),
    ],
)
def test_a_type_in_words(annotation: object, text: str) -> None:
    assert type_text(field(annotation)) == text


def test_kinds_of_fields() -> None:
    whole, real, both = field(int | None), field(float), field(int | float)
    assert [is_integer(f) for f in (whole, real, both, field(str))] == [True, False, False, False]
    assert [is_numeric(f) for f in (whole, real, both, field(str))] == [True, True, True, False]
    assert [is_optional(f) for f in (whole, real)] == [True, False]
    assert [is_sequence(f) for f in (field(str | tuple[str, ...]), real)] == [True, False]
    assert alternatives(Annotated[int | None, Range(1, 2)] | str) == (int, str)
    assert literal_names(tuple[Literal["a", "b"], ...]) == ["a", "b"]


@pytest.mark.parametrize(
    "annotation",
    [Annotated[float, Range(0, 1)], Annotated[float | None, Range(0, 1)], Annotated[float, Range(0, 1)] | None],
)
def test_the_domain_beside_a_field(annotation: object) -> None:
    assert default_domain(field(annotation)) == Range(0, 1)


def test_members_and_branches() -> None:
    peft = RunConfig.model_fields["peft"]
    assert tag_of(peft) == "method"
    assert list(members(peft))[:3] == ["none", "lora", "lora_plus"]
    assert list(branches({"method": "lora"}, peft)) == ["lora"]
    assert list(branches({"method": Choices(("none", "lora", "x"))}, peft)) == ["none", "lora"]
    assert list(branches({"method": {}}, peft)) == []
    stopping = Train.model_fields["early_stopping"]
    assert (tag_of(stopping), list(members(stopping)), list(branches({}, stopping))) == (None, [""], [""])
