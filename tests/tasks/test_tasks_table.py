"""The task table and what the views answer."""

from typing import Any, get_args

import numpy as np
import pytest

from row_tables import label_table, logit_table
from tunery.data.examples import Example, Split
from tunery.errors import DataError
from tunery.schema.config.data import Data
from tunery.schema.config.decision import FixedThreshold
from tunery.schema.config.task import ClassificationTask, MultilabelTask, Task
from tunery.schema.reading.fields import alternatives
from tunery.tasks.table import TASKS, label_names, make_task


def split_of(*labels: tuple[str, ...]) -> Split:
    return Split(
        name="train", examples=tuple(Example(text="t", labels=names) for names in labels), source="", digest=""
    )


def test_the_table_has_every_task_of_the_schema() -> None:
    assert set(TASKS) == set(alternatives(get_args(Task)[0]))


@pytest.mark.parametrize(
    "spec", [ClassificationTask(), MultilabelTask(), MultilabelTask(threshold=FixedThreshold(value=0.3))]
)
def test_every_task_reports_its_metrics_as_plain_data(spec: Any) -> None:
    import json

    task = make_task(spec, ("a", "b", "c"), {})
    labels = task.truth([Example(text="t", labels=(name,)) for name in "abcab"])
    logits = logit_table(np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32))
    state = task.fit_state(logits, labels)
    metrics = task.score(logits, labels, state)
    assert all(type(metrics[name]) is float for name in spec.metrics)
    assert set(metrics["per_label"]) == set(task.labels)
    assert json.loads(json.dumps(metrics)) == metrics
    assert task.outputs["labels"].labels == task.labels
    for prediction in task.answer(logits, [], state):
        assert set(prediction.labels) <= set(task.labels) and list(prediction.probabilities) == list("abc")


def test_label_names_sort_as_words_or_as_numbers() -> None:
    spec, data = ClassificationTask(), Data(train="a.csv")
    assert label_names(spec, data, split_of(("10",), ("9",), ("-1", "9")).examples) == ("-1", "9", "10")
    assert label_names(spec, data, split_of(("10",), ("9",), ("b",), ()).examples) == ("10", "9", "b")
    assert label_names(spec, data, split_of(("10.0",), ("9.5",), ("-1.0",)).examples) == ("-1.0", "9.5", "10.0")


def test_label_columns_keep_the_order_of_the_config_and_those_without_rows() -> None:
    train = split_of(("insult",), ("toxic", "insult"), ())
    columns = ("toxic", "threat", "insult")
    assert label_names(MultilabelTask(), Data(train="a.csv", labels=columns), train.examples) == columns
    assert label_names(MultilabelTask(), Data(train="a.csv"), train.examples) == ("insult", "toxic")


def test_classification_answers() -> None:
    task: Any = make_task(ClassificationTask(), ("a", "b"), {})
    targets = task.numbers([Example(text="t", labels=("b",)), Example(text="t", labels=("a",))])
    assert targets.dtype == np.int64 and targets.tolist() == [1, 0]
    assert task.fit_state(logit_table(np.zeros((2, 2))), label_table(targets)) == {
        "calibration": None,
        "abstention": [[0.5, 0.0, 0.5]],
    }
    (answer,) = task.answer(logit_table(np.array([[0.0, np.log(3)]])), [], None)
    assert (answer.label, answer.labels) == ("b", ("b",))
    assert answer.probabilities == pytest.approx({"a": 0.25, "b": 0.75})


def test_multilabel_answers() -> None:
    task: Any = make_task(MultilabelTask(), ("a", "b"), {})
    targets = task.numbers([Example(text="t", labels=("b", "a")), Example(text="t")])
    assert targets.dtype == np.float32 and targets.tolist() == [[1, 1], [0, 0]]
    logits = logit_table(np.array([[2.0, -2.0], [1.0, -3.0]]))
    both, neither = task.answer(logits, [], {"thresholds": [0.8, 0.1]})
    assert (both.label, both.labels, neither.labels) == (None, ("a", "b"), ())
    fixed = make_task(MultilabelTask(threshold=FixedThreshold(value=0.9)), ("a", "b"), {})
    assert fixed.fit_state(logits, label_table(targets)) == {
        "thresholds": [0.9, 0.9],
        "calibration": None,
        "abstention": [
            [pytest.approx(1 - 1 / (1 + np.exp(-2))), 0.0, 0.5],
            [pytest.approx(1 - 1 / (1 + np.exp(-1))), 0.5, 1.0],
        ],
    }
    assert [answer.labels for answer in fixed.answer(logits, [], None)] == [(), ()]
    assert [answer.labels for answer in task.answer(logits, [], None)] == [("a",), ("a",)]


@pytest.mark.parametrize("spec", [ClassificationTask(), MultilabelTask()])
def test_a_label_the_model_never_learned_is_refused(spec: Any) -> None:
    task: Any = make_task(spec, ("joy", "anger"), {})
    with pytest.raises(DataError, match=r"label 'jy' is unknown to the model; did you mean 'joy'\?"):
        task.numbers([Example(text="t", labels=("jy",))])
