"""What a task tells where its probabilities were calibrated on validation."""

from typing import Any

import numpy as np
import pytest

from row_tables import label_table, logit_table
from tunery.data.calibration import calibrated
from tunery.schema.config.decision import FixedThreshold
from tunery.schema.config.task import ClassificationTask, MultilabelTask
from tunery.tasks.combine import SIGMOID
from tunery.tasks.table import make_task

LABELS = ("a", "b", "c")


def overconfident(spec: Any, *, rows: int = 800) -> tuple[Any, Any, Any]:
    """A task, logits that are three times too large, and what is right of them."""
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(rows, 3))
    if isinstance(spec, ClassificationTask):
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        targets = (p.cumsum(axis=1) < draw.random((rows, 1))).sum(axis=1)
    else:
        targets = (draw.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    return make_task(spec, LABELS, {}), logit_table(3 * logits), label_table(targets)


@pytest.mark.parametrize("spec", [ClassificationTask(), MultilabelTask()])
def test_probabilities_are_told_as_they_were_calibrated(spec: Any) -> None:
    task, answers, truth = overconfident(spec)
    state = task.fit_state(answers, truth)
    assert state["calibration"]["temperature"] == pytest.approx(3, rel=0.15)
    metrics, plain = task.score(answers, truth, state), task.score(answers, truth, None)
    before, after = metrics["probabilities"]["before"], metrics["probabilities"]["after"]
    assert metrics["loss"] == plain["loss"] == before["loss"] > after["loss"]
    assert (metrics["ece"], metrics["brier"]) == (after["ece"], after["brier"])
    assert after["ece"] < before["ece"] / 2 and after["brier"] < before["brier"]
    assert all(metrics[name] == plain[name] for name in ("roc_auc", "pr_auc"))
    fitted = task.fitted_score(answers, truth)
    assert fitted["loss"] == plain["loss"] and fitted["roc_auc"] == plain["roc_auc"]
    assert before["loss"] > fitted["probabilities"]["after"]["loss"] >= after["loss"]
    told = np.array([list(prediction.probabilities.values()) for prediction in task.answer(answers, [], state)])
    assert told == pytest.approx(
        task.decisions.probabilities(answers["logits"] / state["calibration"]["temperature"], None)
    )


def test_one_temperature_changes_no_answer() -> None:
    task, answers, truth = overconfident(ClassificationTask())
    state = task.fit_state(answers, truth)
    labels = [[p.label for p in task.answer(answers, [], some)] for some in (None, state)]
    assert labels[0] == labels[1]
    assert task.score(answers, truth, state)["accuracy"] == task.score(answers, truth, None)["accuracy"]


@pytest.mark.parametrize("method", ["temperature", "vector"])
def test_members_vote_as_they_answer(method: Any) -> None:
    task, answers, truth = overconfident(MultilabelTask(calibration=method))
    state = task.fit_state(answers, truth)
    assert SIGMOID.votes is not None
    votes = SIGMOID.votes(SIGMOID.probabilities(answers["logits"]), task.raw_thresholds(state))
    given = np.array([[label in p.labels for label in LABELS] for p in task.answer(answers, [], state)])
    near = np.abs(calibrated(answers["logits"], state["calibration"])) < 1e-9
    assert (votes == given)[~near].all()


def test_a_fixed_threshold_is_of_what_is_told() -> None:
    task, answers, truth = overconfident(MultilabelTask(threshold=FixedThreshold(value=0.7)))
    state = task.fit_state(answers, truth)
    for prediction in task.answer(answers, [], state):
        assert all((p >= 0.7) == (label in prediction.labels) for label, p in prediction.probabilities.items())
