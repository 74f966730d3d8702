"""Simple models of texts: what they learn, and that they come back from their arrays."""

import numpy as np
import pytest

from tunery.baselines.text_model import TextModel, fit_text_model, majority_model

COLOURS = ["red", "green", "blue"]
TEXTS = [f"{COLOURS[number % 3]} door number {number}" for number in range(60)]
ONE = np.arange(60) % 3
MANY = np.stack([ONE == 0, ONE != 1], axis=1).astype(np.float32)


def test_words_that_tell_labels_apart_are_learned() -> None:
    model = fit_text_model(TEXTS, ONE, labels=3, seed=0)
    assert model(["a green house", "BLUE sky", "redder"]).argmax(axis=1).tolist() == [1, 2, 0]


@pytest.mark.parametrize("targets", [ONE, MANY], ids=["one", "many"])
@pytest.mark.parametrize("kind", ["tfidf", "majority"])
def test_arrays_give_the_same_answers_back(kind: str, targets: np.ndarray) -> None:
    labels = 3 if targets.ndim == 1 else 2
    fitted = fit_text_model(TEXTS, targets, labels=labels, seed=0)
    model = fitted if kind == "tfidf" else majority_model(targets, labels=labels)
    read = TextModel.from_tensors(model.tensors())
    assert np.array_equal(read(["green", "", "some other text"]), model(["green", "", "some other text"]))


def test_the_majority_answers_every_text_alike() -> None:
    logits = majority_model(np.array([1, 1, 0]), labels=2)(["a", "b", ""])
    assert logits.argmax(axis=1).tolist() == [1, 1, 1]
    assert len(np.unique(logits, axis=0)) == 1


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    tensors = fit_text_model(TEXTS, ONE, labels=3, seed=0).tensors()
    with pytest.raises(ValueError, match="weight must be of shape"):
        TextModel.from_tensors({**tensors, "weight": tensors["weight"][:, :-1]})
    with pytest.raises(KeyError):
        TextModel.from_tensors({name: array for name, array in tensors.items() if name != "letters.idf"})
