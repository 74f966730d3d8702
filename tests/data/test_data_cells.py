"""One rule for cells, whatever the format."""

from typing import Any

import pytest

from tunery.data.reading.cells import BadCell, flag_of, label_of, name_of, names_of, same_but_for_writing, text_of


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (1, "1"), (1.0, "1.0"), ("1.0", "1.0"), (" 1 ", "1"), (0.5, "0.5"), ("007", "007"), (True, "True"),
        ("a b ", "a b"), (None, None), ("", None), ("  ", None), (float("nan"), None),
    ],
)  # fmt: skip
def test_names(cell: Any, name: str | None) -> None:
    assert name_of(cell) == name


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("a|b", ("a", "b")), (" a | |b|a", ("a", "b")), ("", ()), (None, ()), (float("nan"), ()), ([], ()),
        (3.0, ("3.0",)),
        ('["x|y", "z"]', ("x|y", "z")), ("['x', 'y']", ("x", "y")), (" []", ()), (["b", "a", "b"], ("b", "a")),
        ([1, 2.0], ("1", "2.0")), ("[0]", ("0",)),
        ("['joy' 'anger']", ("joy", "anger")), ("['joy'\n 'it\\'s' \"so\"]", ("joy", "it's", "so")),
        ("[1 2]", ("1", "2")), ("('joy', 'anger')", ("joy", "anger")), ("{'joy', 'anger'}", ("joy", "anger")),
        ("('a',)", ("a",)), ("()", ()),
        ("array(['joy', 'anger'], dtype=object)", ("joy", "anger")), ("set()", ()), ({"b", "a"}, ("a", "b")),
        ("(a) first|{b}", ("(a) first", "{b}")), ("(a, b)", ("(a, b)",)), ("list(a)", ("list(a)",)),
    ],
)  # fmt: skip
def test_lists_of_names(cell: Any, names: tuple[str, ...]) -> None:
    assert names_of(cell, separator="|") == names


@pytest.mark.parametrize(
    "cell",
    [
        *("[0, 1, 0, 0]", [0, 1, 0, 0], "[0. 1. 0.]", [True, False, False], "[0, 0]"),
        *("0 1 0 0", "0,1,0,0", "0, 1, 0", "1;0;1", "0|1|0|0", "0|1|0|1", "0.0 1.0 0.0", "0/1/0"),
    ],
)
def test_flags_by_position_are_no_labels_called_0_and_1(cell: Any) -> None:
    separator = "/" if "/" in str(cell) else "|"
    with pytest.raises(BadCell, match=r"one flag per label without their names.*data\.labels=\[first, second\]"):
        names_of(cell, separator=separator)


def test_one_or_two_flags_may_be_names() -> None:
    assert [names_of(cell, separator="|") for cell in ("1", "0|1", "0100", "0 1")] == [
        ("1",), ("0", "1"), ("0100",), ("0 1",),
    ]  # fmt: skip


@pytest.mark.parametrize("cell", ["['a' 'b', 'c']", "('a' 'b', 'c')", "['a' ... 'b']", "['a', 'b'", "[" * 5000])
def test_what_starts_like_a_list_is_never_glued_together(cell: str) -> None:
    with pytest.raises(BadCell, match="starts like a list, but is none as JSON, Python or numpy writes it"):
        names_of(cell, separator="|")


@pytest.mark.parametrize(
    "cell", ["['joy']", "['a' 'b']", "('joy', 'anger')", "{'joy'}", "[1, 2]", "0 1 0", '{"joy": 1}', ["a"]]
)
def test_a_single_label_is_no_list(cell: Any) -> None:
    with pytest.raises(BadCell, match="but got"):
        label_of(cell)
    assert [label_of(name) for name in ("[INST]", "(a)", "{b}", "a, b")] == ["[INST]", "(a)", "{b}", "a, b"]


def test_names_that_are_written_differently_and_are_the_same() -> None:
    names = ["caf\u00e9", "cafe\u0301", "CAF\u00c9", "caf\u00e9 ", "tea", "te\u200ba", "1", "1.0", "01", "10", "water"]
    groups = sorted(len(group) for group in same_but_for_writing(names))
    assert groups == [1, 1, 2, 3, 4]


def test_flags_and_texts() -> None:
    yes, no = (1, "1.0", True, "true", "Y", "yes", "T"), (0, "0", "0.0", False, None, "", "N", "no", "F")
    assert all(map(flag_of, yes)) and not any(map(flag_of, no))
    assert text_of(None) == text_of(float("nan")) == ""
    assert text_of(12) == "12"
    assert text_of("a\ud800b é") == "a\ufffdb é"
    assert text_of("\ud83d\ude00") == "😀"


def test_bad_cells_say_what_they_should_be() -> None:
    with pytest.raises(BadCell, match=r"must hold 0 or 1 .*, but got 2"):
        flag_of(2)
    with pytest.raises(BadCell, match=r"must hold one value, but got \['a'\]"):
        name_of(["a"])
    with pytest.raises(BadCell, match=r"must hold a text, but got \{'a': 1\}"):
        text_of({"a": 1})
    with pytest.raises(BadCell, match=r"starts like a list, but is none as JSON.*: '\[a, b'"):
        names_of("[a, b", separator="|")
    with pytest.raises(BadCell, match="one of them is empty"):
        names_of(["a", None], separator="|")


@pytest.mark.parametrize("cell", ["\ud83d", "a\udc80b"])
def test_half_of_a_character_is_no_name(cell: str) -> None:
    with pytest.raises(BadCell, match="must hold whole characters, but got half of a surrogate pair"):
        name_of(cell)
    with pytest.raises(BadCell, match="half of a surrogate pair"):
        names_of(["x", cell], separator="|")
