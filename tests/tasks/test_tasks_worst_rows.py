"""Which rows are answered worst, and how much is told of them."""

import numpy as np
import pytest

from row_tables import logit_table
from tunery.data.examples import Example, Split
from tunery.data.row_table import RowTable
from tunery.schema.config.task import ClassificationTask, MultilabelTask
from tunery.tasks.table import make_task
from tunery.tasks.worst_rows import MOST_CHARACTERS, MOST_ROWS, worst_rows


def split_of(*examples: Example) -> Split:
    return Split(name="test", examples=examples, source="", digest="")


def test_the_highest_loss_comes_first_with_what_is_right_and_what_was_answered() -> None:
    task = make_task(ClassificationTask(), ("a", "b", "c"), {})
    split = split_of(
        Example(text="right", labels=("a",), id="r-0"),
        Example(text="sure and wrong", labels=("b",)),
        Example(text="unsure and wrong", labels=("c",), id="r-2"),
        Example(text="unsure and wrong", labels=("c",), id="r-3"),
    )
    probabilities = np.array([[0.9, 0.05, 0.05], [0.96, 0.03, 0.01], [0.5, 0.2, 0.3], [0.5, 0.2, 0.3]])
    found = worst_rows(task, split, RowTable({"logits": np.log(probabilities)}), state=None, texts=True)
    assert (found.split, found.total, [row.id for row in found.rows]) == ("test", 4, ["#1", "r-2", "r-3", "r-0"])
    worst = found.rows[0]
    assert (worst.labels, worst.answer) == (("b",), ("a",))
    assert worst.loss == pytest.approx(-np.log(0.03)) and worst.probabilities == pytest.approx({"b": 0.03, "a": 0.96})
    assert [text.text for text in worst.texts] == ["sure and wrong"]
    assert found.rows[-1].labels == found.rows[-1].answer == ("a",)


def test_with_several_labels_the_loss_is_the_mean_over_all_and_the_answer_that_of_the_thresholds() -> None:
    task = make_task(MultilabelTask(), ("a", "b"), {})
    split = split_of(Example(text="t", labels=("a",)), Example(text="u", labels=("a", "b")), Example(text="v"))
    probabilities = np.array([[0.4, 0.3], [0.1, 0.9], [0.1, 0.1]])
    logits = np.log(probabilities / (1 - probabilities))
    found = worst_rows(task, split, RowTable({"logits": logits}), state={"thresholds": [0.35, 0.2]}, texts=True)
    assert [row.id for row in found.rows] == ["#1", "#0", "#2"]
    assert [row.answer for row in found.rows] == [("b",), ("a", "b"), ()]
    assert found.rows[1].loss == pytest.approx(-(np.log(0.4) + np.log(0.7)) / 2)
    assert found.rows[1].probabilities == pytest.approx({"a": 0.4, "b": 0.3}) and found.rows[2].probabilities == {}


@pytest.mark.parametrize("spec", [ClassificationTask(), MultilabelTask()])
def test_the_losses_of_all_rows_have_the_loss_of_the_split_as_their_mean(
    spec: ClassificationTask | MultilabelTask,
) -> None:
    task = make_task(spec, ("a", "b", "c"), {})
    labels = task.truth([Example(text="t", labels=(name,)) for name in "abcab"])
    logits = logit_table(5 * np.random.default_rng(0).normal(size=(5, 3)))
    losses = task.losses(logits, labels)
    assert losses.shape == (5,)
    assert losses.mean() == pytest.approx(task.score(logits, labels, None)["loss"])


def test_however_long_and_many_texts_are_the_record_is_small() -> None:
    task = make_task(ClassificationTask(), ("a", "b"), {})
    long, edge = "word \n" * 10**6, "x" * MOST_CHARACTERS
    pairs = [Example(text=long, text_pair=edge, labels=("a",), id=str(n)) for n in range(200)]
    found = worst_rows(task, split_of(*pairs), RowTable({"logits": np.zeros((200, 2))}), state=None, texts=True)
    assert [row.id for row in found.rows] == [str(n) for n in range(MOST_ROWS)] and found.total == 200
    first, second = found.rows[0].texts
    assert first.is_cut and first.text == ("word " * 100)[:MOST_CHARACTERS]
    assert (second.text, second.is_cut) == (edge, False)
    assert len(found.model_dump_json(indent=1)) < 40_000


def test_without_texts_nothing_of_them_is_there() -> None:
    task = make_task(ClassificationTask(), ("a", "b"), {})
    split = split_of(Example(text="secret", text_pair="hidden", labels=("a",), id="r-0"))
    answers = RowTable({"logits": np.zeros((1, 2))})
    bare, full = (worst_rows(task, split, answers, state=None, texts=texts) for texts in (False, True))
    assert full.has_texts and not bare.has_texts and full.without_texts() == bare
    assert "r-0" in bare.model_dump_json() and "secret" not in bare.model_dump_json()
