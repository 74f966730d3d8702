"""JSON is read strictly, and every fault has one type and, where it can be known, its place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.schema.reading.json_text import NotJson, parse_json

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(_VALUES)
def test_json_is_read_as_the_standard_library_does(value: object) -> None:
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,\n "b": }', "line 2, column 7: Expecting value"),
        ("", "line 1, column 1: Expecting value"),
        ("[" * 100_000, "lists and objects are nested too deeply"),
        ('{"a":' * 100_000, "lists and objects are nested too deeply"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' is there twice in one object"),
        (f"[1,\n {'9' * 5000}]", "line 2, column 2: a number has more than 4,300 digits"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    with pytest.raises(NotJson) as error:
        parse_json(text)
    assert str(error.value) == message
