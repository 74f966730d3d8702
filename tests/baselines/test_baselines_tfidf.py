"""TF-IDF: what is fitted comes back from its arrays, whatever the texts are."""

import json

import numpy as np
import pytest

from tunery.baselines.tfidf import Tfidf, fit_tfidf

TEXTS = ["The cat sat on the mat", "a dog ate the cat", "我 喜欢 猫", "", "Ümläut & Zeichen 42"]


def test_arrays_give_the_same_features_back() -> None:
    fitted = fit_tfidf(TEXTS, labels=2)
    read = Tfidf.from_tensors(fitted.tensors())
    new = ["the cat and 猫", "unheard of", *TEXTS]
    assert (fitted(new) != read(new)).nnz == 0
    norms = np.sqrt(fitted(TEXTS).multiply(fitted(TEXTS)).sum(axis=1)).A1
    assert norms.tolist() == [pytest.approx(value, abs=1e-4) for value in (2**0.5, 2**0.5, 2**0.5, 0, 2**0.5)]


def test_capital_letters_do_not_matter_and_words_of_one_letter_count() -> None:
    fitted = fit_tfidf(TEXTS, labels=2)
    assert (fitted(["A DOG"]) != fitted(["a dog"])).nnz == 0
    assert {"a", "a dog", "猫"} <= set(fitted.vocabularies["words"])


def test_texts_without_any_word_have_no_features() -> None:
    fitted = fit_tfidf(["", "  "], labels=2)
    assert fitted(["anything"]).shape == (1, 0)
    assert Tfidf.from_tensors(fitted.tensors())(["anything", "else"]).shape == (2, 0)


def test_more_labels_leave_room_for_fewer_features() -> None:
    texts = [f"word{number} common" for number in range(900)]
    assert fit_tfidf(texts, labels=20_000)(texts).shape[1] == 2 * (6_000_000 // 20_000)


@pytest.mark.parametrize("words", [{"a": 1}, ["a", "a"], ["a", 1], ["one"]])
def test_a_vocabulary_that_is_not_what_was_written_is_refused(words: object) -> None:
    tensors = fit_tfidf(TEXTS, labels=2).tensors()
    tensors["words.vocabulary"] = np.frombuffer(json.dumps(words).encode(), dtype=np.uint8)
    with pytest.raises(ValueError, match="words"):
        Tfidf.from_tensors(tensors)
