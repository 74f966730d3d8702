"""How much of a decision its evidence carries, and which labels are given in place of which."""

import numpy as np
import pytest

from tunery.data.evidence import Span, make_evidence
from tunery.data.examples import Example
from tunery.data.row_table import RowTable, objects_of
from tunery.schema.config.task import CriteriaEvidenceTask
from tunery.tasks.table import make_task
from tunery.tasks.task import Task

SETTINGS = {"unit": "sentence", "annotation": "exhaustive"}
TEXT = "I am low. It rains. I sleep badly. I wake up."


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def answered(
    task: Task, examples: list[Example], probabilities: list[list[float]], units: list[list[list[float]]]
) -> RowTable:
    columns = dict(task.untrained(task.truth(examples)).columns)
    scores = [
        np.array([[logit(p) for p in unit] for unit in row], dtype=np.float32).reshape(-1, len(task.labels))
        for row in units
    ]
    logits = np.array([[logit(p) for p in row] for row in probabilities])
    return RowTable({**columns, "logits": logits, "units": objects_of(scores)})


def test_a_label_is_asked_about_without_its_evidence_and_with_nothing_else() -> None:
    task = make_task(CriteriaEvidenceTask(), ("a", "b"), SETTINGS)
    rows = [
        Example(text=TEXT, labels=("a",), target=make_evidence([Span(0, 9, "a")])),
        Example(text=TEXT),
        Example(text=""),
    ]
    both = [[0.9, 0.1], [0.1, 0.1], [0.1, 0.9], [0.1, 0.9]]
    answers = answered(task, rows, [[0.8, 0.9], [0.2, 0.2], [0.9, 0.1]], [both, both, []])
    follow_up = task.follow_up(rows, answers, None)
    assert follow_up is not None
    assert [example.text for example in follow_up.examples] == [
        " It rains. I sleep badly. I wake up.",
        "I am low. It rains.  ",
        "I am low.",
        "I sleep badly. I wake up.",
    ]
    after = answered(
        task,
        [*follow_up.examples],
        [[0.3, 0.5], [0.5, 0.2], [0.7, 0.5], [0.5, 0.95]],
        [both[:2], both[:2], both[:1], both[:2]],
    )
    assert follow_up.metrics(after) == pytest.approx(
        {"evidence_comprehensiveness": (0.5 + 0.7) / 2, "evidence_sufficiency": (0.1 - 0.05) / 2}
    )
    nothing = task.follow_up(rows[1:], answers.take([1, 2]), None)
    assert nothing is not None and [*nothing.examples] == []
    assert nothing.metrics(answers.take([])) == {"evidence_comprehensiveness": None, "evidence_sufficiency": None}


def test_labels_that_are_given_where_another_is_missed_are_counted() -> None:
    task = make_task(CriteriaEvidenceTask(), ("a", "b", "c"), SETTINGS)
    rows = [Example(text=TEXT, labels=labels) for labels in [("a",), ("a",), ("a", "b"), ("c",), ()]]
    given = [[0, 1, 0], [0, 1, 1], [0, 1, 0], [0, 0, 1], [1, 1, 1]]
    probabilities = [[0.9 if label else 0.1 for label in row] for row in given]
    metrics = task.score(answered(task, rows, probabilities, [[[0.5] * 3] * 4] * 5), task.truth(rows), None)
    assert metrics["given_instead"] == {"a": {"b": 2, "c": 1}}
