"""Thresholds: what few rows can say, and scores that are not read off the rows they were tuned on."""

from typing import Any

import numpy as np
import pytest

from row_tables import any_labels, label_table, logit_table
from tunery.data.metrics import best_threshold, sigmoid
from tunery.schema.config.decision import FixedThreshold
from tunery.schema.config.task import MultilabelTask
from tunery.tasks.multilabel import Multilabel
from tunery.tasks.thresholds import FEW


def rows(count: int, *, rate: Any, signal: float, seed: int) -> tuple[Any, Any]:
    """Logits and targets; probabilities lie about 0.03, and tell as much about the labels as `signal` says."""
    generator = np.random.default_rng(seed)
    targets = (generator.random((count, len(rate))) < rate).astype(np.float32)
    return np.log(0.03 / 0.97) + 0.2 * generator.normal(size=targets.shape) + signal * targets, targets


def view(labels: int) -> Multilabel:
    return any_labels([str(k) for k in range(labels)])


def labels_a_row(task: Multilabel, logits: Any, state: Any) -> float:
    return float(np.mean([len(answer.labels) for answer in task.answer(logit_table(logits), [], state)]))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [40, 400])
def test_on_noise_labels_are_given_about_as_often_as_they_are_true(count: int, seed: int) -> None:
    rate = np.full(27, 1.17 / 27)
    logits, targets = rows(count, rate=rate, signal=0.0, seed=seed)
    task = view(27)
    state = task.fit_state(logit_table(logits), label_table(targets))
    others, _ = rows(2_000, rate=rate, signal=0.0, seed=100 + seed)
    assert 0.7 * targets.sum(1).mean() < labels_a_row(task, others, state) < 1.4 * targets.sum(1).mean()


def test_a_label_that_cannot_be_told_is_not_given_to_every_row() -> None:
    """F1 alone would be highest there."""
    logits, targets = rows(2_000, rate=np.full(5, 0.1), signal=0.0, seed=0)
    state = view(5).fit_state(logit_table(logits), label_table(targets))
    assert labels_a_row(view(5), logits, state) <= 2 * targets.sum(1).mean()


def test_labels_with_few_positives_are_pulled_to_what_they_share_and_the_others_have_their_own() -> None:
    rate = np.array([0.3, 0.2, 0.015, 0.01, 0.012, 0.0])
    logits, targets = rows(1_000, rate=rate, signal=2.0, seed=3)
    logits[:, 1] += 1.0
    support = targets.sum(0)
    few = support < FEW
    assert few.tolist() == [False, False, True, True, True, True]
    thresholds = np.array(view(6).fit_state(logit_table(logits), label_table(targets))["thresholds"])
    probabilities, is_true = sigmoid(logits), targets > 0
    shared = proportional(probabilities[:, few].ravel(), is_true[:, few].ravel())
    for k in np.flatnonzero(few):
        own = proportional(probabilities[:, k], is_true[:, k]) if support[k] else shared
        assert thresholds[k] == pytest.approx((support[k] * own + 20 * shared) / (support[k] + 20))
    for k in np.flatnonzero(~few):
        assert thresholds[k] == best_threshold(probabilities[:, k], is_true[:, k], otherwise=0.5)


def proportional(probabilities: Any, is_true: Any) -> float:
    """The middle between the last row that gets a label and the next, where as many get it as have it."""
    ranked, count = np.sort(probabilities)[::-1], int(is_true.sum())
    return float((ranked[count - 1] + ranked[count]) / 2)


def test_scores_of_validation_are_those_of_other_rows() -> None:
    """On noise the thresholds' own rows promise what no other row keeps."""
    rate = np.full(20, 0.08)
    logits, targets = rows(400, rate=rate, signal=0.0, seed=0)
    task = view(20)
    state = task.fit_state(logit_table(logits), label_table(targets))
    other_logits, other_targets = rows(4_000, rate=rate, signal=0.0, seed=1)
    honest = task.fitted_score(logit_table(logits), label_table(targets))["f1_micro"]
    flattering = task.score(logit_table(logits), label_table(targets), state)["f1_micro"]
    true = task.score(logit_table(other_logits), label_table(other_targets), state)["f1_micro"]
    assert flattering > true + 0.02 and abs(honest - true) < 0.02


def test_what_needs_no_threshold_is_the_same_either_way() -> None:
    logits, targets = rows(60, rate=np.array([0.3, 0.1]), signal=1.0, seed=0)
    task = view(2)
    tables = logit_table(logits), label_table(targets)
    ours, plain = task.fitted_score(*tables), task.score(*tables, None)
    assert all(ours[name] == plain[name] for name in ("roc_auc", "pr_auc", "loss"))
    assert ours == task.fitted_score(*tables), "the folds are always the same"
    fixed = Multilabel.build(
        MultilabelTask(threshold=FixedThreshold(value=0.2), calibration="none"), labels=("a", "b"), settings={}
    )
    assert fixed.fitted_score(*tables) == fixed.score(*tables, {"thresholds": [0.2, 0.2]})


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_handful_of_rows(count: int) -> None:
    logits, targets = rows(count, rate=np.array([0.5, 0.5, 0.0]), signal=1.0, seed=count)
    assert view(3).fitted_score(logit_table(logits), label_table(targets))["f1_macro"] <= 1.0
    state = view(3).fit_state(logit_table(logits), label_table(np.zeros_like(targets)))
    assert (state["thresholds"], state["calibration"]) == ([0.5, 0.5, 0.5], None)


def test_the_thresholds_that_were_fitted_are_told_those_of_labels_with_few_rows_together() -> None:
    rate = np.array([0.3, 0.015, 0.013])
    logits, targets = rows(1_000, rate=rate, signal=2.0, seed=3)
    assert (targets.sum(0) < FEW).tolist() == [False, True, True] and targets[:, 1:].sum() >= FEW
    task, tables = view(3), (logit_table(logits), label_table(targets))
    own, few = task.fitted_thresholds(MultilabelTask(), metrics := task.score(*tables, task.fit_state(*tables)))
    assert own.labels == ("0",) and own.f1 == pytest.approx(metrics["per_label"]["0"]["f1"])
    thresholds = np.array([metrics["per_label"][name]["threshold"] for name in "12"])
    given = sigmoid(logits)[:, 1:] >= thresholds
    hits = (given & (targets[:, 1:] > 0)).sum()
    assert few.labels == ("1", "2") and few.support == targets[:, 1:].sum()
    assert few.value == pytest.approx(thresholds @ targets[:, 1:].sum(0) / few.support)
    assert few.f1 == pytest.approx(2 * hits / (given.sum() + few.support))
    assert task.fitted_thresholds(MultilabelTask(threshold=FixedThreshold(value=0.2)), metrics) == ()
    little = task.fitted_score(logit_table(logits[:50]), label_table(targets[:50]))
    assert task.fitted_thresholds(MultilabelTask(), little) == [], "too few rows to say anything"
