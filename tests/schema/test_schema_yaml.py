"""YAML is read as version 1.2 means it, and what is written is read back unchanged."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.errors import ConfigError
from tunery.schema.reading.yaml_text import dump_yaml, parse_yaml, read_yaml, yaml_line

_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(_PLAIN)
def test_what_is_written_is_read_back(value: object) -> None:
    assert parse_yaml(dump_yaml(value), source="text") == value


@given(_PLAIN)
def test_a_value_on_one_line_is_read_back_behind_a_key_and_within_a_list(value: object) -> None:
    line = yaml_line(value)
    assert "\n" not in line
    assert parse_yaml(f"key: {line}", source="text") == {"key": value}
    assert parse_yaml(f"[{line}, 1]", source="text") == [value, 1]


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


def test_a_duplicate_key_is_refused_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"line 3, column 1: the key 'seed' is there twice"):
        parse_yaml("seed: 1\nname: a\nseed: 2\n", source="text")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: {kind: a", r"in the.yaml:\n  not valid YAML: line 1, column 15"),
        ("a: 1\n b: 2", r"line 2, column 3"),
        ("a: !!python/object:os.system {}", r"line 1, column 4: the tag .* is not one of !!null, .*!!map"),
        ("a: 1\n---\na: 2", r"expected a single document|but found another document"),
    ],
)
def test_broken_yaml_says_where(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_yaml(text, source="the.yaml")


_REPEATED = "a: &a [1, 1]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefg"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!int abc", r"line 1, column 4: 'abc' is not of the type int"),
        ("a: !!float x", r"'x' is not of the type float"),
        ("a: !!bool maybe", r"'maybe' is not of the type bool"),
        ("a: !!null x", r"'x' is not of the type null"),
        ("a: !!timestamp 2001-99-99", r"line 1, column 4: the tag 'tag:yaml.org,2002:timestamp' is not one of !!null"),
        ("a: !!binary aGk=", r"the tag .*binary' is not one of"),
        ("a: !!map [b]", r"line 1, column 4: expected a mapping"),
        (f"a: 1\nb: {'9' * 5000}", r"line 2, column 4: a number of 5,000 digits is too long"),
        (f"%YAML {'9' * 5000}.1\n---\na: 1", r"not readable: "),
        ('a: "\\UFFFFFFFF"', r"line 1, column \d+: not readable: "),
        ('a: "\\ud83d"', r"line 1, column 4: .* holds half of a surrogate pair"),
        ("[" * 50_000, r"line 1, column 101: nested more than 100 levels deep"),
        ("- " * 50_000, r"nested more than 100 levels deep"),
        ("a: &a {b: *a}", r"line 1, column 11: an alias repeats what it is part of"),
        (_REPEATED, r"line 6, column \d+: more than 100,000 keys and values in all"),
        ("- &a " + "[" * 60 + "]" * 60 + "\n- " + "[" * 60 + "*a" + "]" * 60, r"line 2, .*nested more than 100 levels"),
        ("a: {<<: 3}", r"expected a mapping or list of mappings"),
        ("{[a]: 1}", r"line 1, column 2: found unhashable key"),
    ],
)
def test_what_no_config_needs_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"not valid YAML: (.*){message}"):
        parse_yaml(text, source="the.yaml")


def test_escaped_halves_of_one_character_are_that_character() -> None:
    assert parse_yaml(r'"\ud83d\ude00"', source="text") == "\U0001f600"


def test_twenty_thousand_keys_are_read() -> None:
    text = "".join(f"k{number}: 1\n" for number in range(20_000))
    assert len(parse_yaml(text, source="text")) == 20_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no file '.*a.yaml'"),
        (
            b"name: caf\xe9",
            r"a config must be UTF-8, but byte 9 \(line 1\) is 0xe9; for Western European text `iconv",
        ),
        (
            "name: a".encode("utf-16"),
            r"a config must be UTF-8, but it looks like utf-16; `iconv -f utf-16 -t utf-8 FILE",
        ),
        (b"#" * 1_000_001, "a config has at most 1,000,000 bytes, but this file is larger"),
    ],
)
def test_a_file_that_is_no_config(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"1 problem in .*a.yaml:\n  {message}"):
        read_yaml(tmp_path / "a.yaml")


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_yaml(tmp_path)
