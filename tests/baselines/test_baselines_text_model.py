"""Simple models of texts: what they learn, and that they come back from their arrays."""

import numpy as np
import pytest

from tunery.baselines.targets import LinearTargets
from tunery.baselines.text_model import TextModel, constant_model, fit_text_model

COLOURS = ["red", "green", "blue"]
TEXTS = [f"{COLOURS[number % 3]} door number {number}" for number in range(60)]
COLOUR = np.arange(60) % 3
ONE = LinearTargets("single_label", COLOUR, 3)
MANY = LinearTargets("multi_label", np.stack([COLOUR == 0, COLOUR != 1], axis=1).astype(np.float32), 2)
NUMBER = LinearTargets("number", COLOUR - 1.5, 1)
LEVELS = LinearTargets("levels", COLOUR, 2)


def test_words_that_tell_labels_apart_are_learned() -> None:
    model = fit_text_model(TEXTS, ONE, seed=0)
    assert model(["a green house", "BLUE sky", "redder"]).argmax(axis=1).tolist() == [1, 2, 0]


@pytest.mark.parametrize("targets", [ONE, MANY, NUMBER, LEVELS], ids=lambda targets: targets.problem)
@pytest.mark.parametrize("kind", ["tfidf", "majority"])
def test_arrays_give_the_same_answers_back(kind: str, targets: LinearTargets) -> None:
    model = fit_text_model(TEXTS, targets, seed=0) if kind == "tfidf" else constant_model(targets)
    read = TextModel.from_tensors(model.tensors())
    answers = model(["green", "", "some other text"])
    assert answers.shape == (3, targets.outputs)
    assert np.array_equal(read(["green", "", "some other text"]), answers)


def test_the_majority_answers_every_text_alike() -> None:
    logits = constant_model(LinearTargets("single_label", np.array([1, 1, 0]), 2))(["a", "b", ""])
    assert logits.argmax(axis=1).tolist() == [1, 1, 1]
    assert len(np.unique(logits, axis=0)) == 1


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    tensors = fit_text_model(TEXTS, ONE, seed=0).tensors()
    with pytest.raises(ValueError, match="weight must be of shape"):
        TextModel.from_tensors({**tensors, "weight": tensors["weight"][:, :-1]})
    with pytest.raises(KeyError):
        TextModel.from_tensors({name: array for name, array in tensors.items() if name != "letters.idf"})
