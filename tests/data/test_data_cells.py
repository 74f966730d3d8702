"""One rule for cells, whatever the format."""

from typing import Any

import pytest

from tunery.data.cells import BadCell, flag_of, name_of, names_of, text_of


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (1, "1"), (1.0, "1"), ("1.0", "1"), (" 1 ", "1"), (0.5, "0.5"), (-2.0, "-2"), (True, "True"), ("a b ", "a b"),
        (None, None), ("", None), ("  ", None), (float("nan"), None),
    ],
)  # fmt: skip
def test_names(cell: Any, name: str | None) -> None:
    assert name_of(cell) == name


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("a|b", ("a", "b")), (" a | |b|a", ("a", "b")), ("", ()), (None, ()), (float("nan"), ()), ([], ()),
        (3.0, ("3",)),
        ('["x|y", "z"]', ("x|y", "z")), ("['x', 'y']", ("x", "y")), (" []", ()), (["b", "a", "b"], ("b", "a")),
        ([1, 2.0], ("1", "2")),
    ],
)  # fmt: skip
def test_lists_of_names(cell: Any, names: tuple[str, ...]) -> None:
    assert names_of(cell, separator="|") == names


def test_flags_and_texts() -> None:
    assert [flag_of(cell) for cell in (1, "1.0", True, "true", 0, "0", False, None, "")] == [True] * 4 + [False] * 5
    assert text_of(None) == text_of(float("nan")) == ""
    assert text_of(12) == "12"
    assert text_of("a\ud800b é") == "a\ufffdb é"
    assert text_of("\ud83d\ude00") == "😀"


def test_bad_cells_say_what_they_should_be() -> None:
    with pytest.raises(BadCell, match=r"must hold 0 or 1, but got 2"):
        flag_of(2)
    with pytest.raises(BadCell, match=r"must hold one value, but got \['a'\]"):
        name_of(["a"])
    with pytest.raises(BadCell, match=r"must hold a text, but got \{'a': 1\}"):
        text_of({"a": 1})
    with pytest.raises(BadCell, match=r"starts like a list and is not a JSON list: '\[a, b'"):
        names_of("[a, b", separator="|")
    with pytest.raises(BadCell, match="one of them is empty"):
        names_of(["a", None], separator="|")
