"""Texts from a program: every form that people have, and nothing that is no text."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tunery.data.examples import Example
from tunery.data.reading.given import examples_from
from tunery.errors import DataError

FORMS: dict[str, Callable[[list[str]], Any]] = {
    "list": list,
    "tuple": tuple,
    "generator": lambda texts: (text for text in texts),
    "array": np.array,
    "array of objects": lambda texts: np.array(texts, dtype=object),
    "Series": pd.Series,
    "Series of strings": lambda texts: pd.Series(texts, dtype="string"),
    "column of a table": lambda texts: pd.DataFrame({"text": texts})["text"],
}


@pytest.mark.parametrize("form", FORMS)
def test_texts_are_taken_in_order(form: str) -> None:
    texts = ["a good film", "", "好评"]
    assert [(e.text, e.text_pair) for e in examples_from(FORMS[form](texts), pairs=False)] == [(t, None) for t in texts]


@pytest.mark.parametrize("text", ["a good film", np.str_("a good film")])
def test_a_string_is_one_text(text: str) -> None:
    assert examples_from(text, pairs=False) == [Example("a good film")]


@pytest.mark.parametrize("form", [list, np.array, lambda given: [list(pair) for pair in given]])
def test_pairs_are_taken_where_the_model_knows_pairs(form: Callable[[Any], Any]) -> None:
    assert examples_from(form([("a", "b"), ("c", "")]), pairs=True) == [Example("a", "b"), Example("c", "")]


NO_TEXTS: dict[str, Any] = {
    "None": None,
    "nan": float("nan"),
    "NA": pd.NA,
    "a number": 5,
    "bytes": b"text",
    "a row": {"text": "a"},
    "a list": ["a", "b", "c"],
    "a pair": ("a", "b"),
    "half of a surrogate pair": "\ud83d",
}


@pytest.mark.parametrize("what", NO_TEXTS)
def test_what_is_no_text_is_refused_with_its_position(what: str) -> None:
    with pytest.raises(DataError, match="item 1 "):
        examples_from(["fine", NO_TEXTS[what]], pairs=False)


@pytest.mark.parametrize("wrong", ["a", ("a",), ("a", "b", "c"), ("a", None), ("a", "\ud83d"), ["a", 5]])
def test_what_is_no_pair_is_refused_with_its_position(wrong: Any) -> None:
    with pytest.raises(DataError, match="item 1 "):
        examples_from([("a", "b"), wrong], pairs=True)


@pytest.mark.parametrize(
    "whole", [None, 5, b"text", {"text": ["a"]}, {"a"}, np.array("a"), pd.DataFrame({"text": ["a"]})], ids=repr
)
def test_what_has_no_texts_in_order_is_refused(whole: Any) -> None:
    with pytest.raises(DataError, match="texts come as one string or as a list of strings"):
        examples_from(whole, pairs=False)
