"""YAML is read as version 1.2 means it, and what is written is read back unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.errors import ConfigError
from tunery.schema.yaml_text import dump_yaml, parse_yaml

_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(_PLAIN)
def test_what_is_written_is_read_back(value: object) -> None:
    assert parse_yaml(dump_yaml(value), source="text") == value


@pytest.mark.parametrize("word", ["1e5", "no", "on", "2024-01-01", "12:30:00", "0o17", "<<", "~", "", "007", "1_000"])
def test_a_word_stays_a_word(word: str) -> None:
    assert parse_yaml(dump_yaml({"name": word}), source="text") == {"name": word}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1.", 1.0),
        (".5", 0.5),
        ("-3", -3),
        ("no", "no"),
        ("2024-01-01", "2024-01-01"),
        ("12:30", "12:30"),
    ],
)
def test_plain_words(text: str, value: object) -> None:
    read = parse_yaml(text, source="text")
    assert read == value
    assert type(read) is type(value)


def test_merge_keys_are_no_duplicates() -> None:
    text = "base: &base {lr: 1}\noptim: {<<: *base, name: adamw}\nother: {<<: *base}"
    assert parse_yaml(text, source="text")["optim"] == {"lr": 1, "name": "adamw"}


def test_a_key_that_stands_twice_is_refused_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"line 3, column 1: the key 'seed' stands twice"):
        parse_yaml("seed: 1\nname: a\nseed: 2\n", source="text")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: {kind: a", r"in the.yaml:\n  not valid YAML: line 1, column 15"),
        ("a: 1\n b: 2", r"line 2, column 3"),
        ("a: !!python/object:os.system {}", r"could not determine a constructor"),
        ("a: 1\n---\na: 2", r"expected a single document|but found another document"),
    ],
)
def test_broken_yaml_says_where(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_yaml(text, source="the.yaml")
