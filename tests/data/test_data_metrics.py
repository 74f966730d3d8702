"""Metrics against scikit-learn and exhaustive search, and at the edges where formulas break."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from fast_and_slow import examples
from row_tables import any_labels, label_table, logit_table
from row_tables import one_label as one_of
from tunery.data.calibration import quality
from tunery.data.metrics import best_threshold, log_softmax, sigmoid
from tunery.errors import NonFiniteLoss
from tunery.schema.config.task import ClassificationTask, MultilabelTask

SEEDS = st.integers(0, 2**32 - 1)


def one_label(seed: int, *, rows: int, labels: int) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, labels, size=rows)
    logits = generator.normal(size=(rows, labels)).round(1) + 2.0 * (np.arange(labels) == targets[:, None])
    return logits.astype(np.float32), targets


@examples(0.4)
@given(SEEDS, st.integers(1, 60), st.integers(2, 6))
def test_classification_agrees_with_scikit_learn(seed: int, rows: int, labels: int) -> None:
    logits, targets = one_label(seed, rows=rows, labels=labels)
    guesses, names = logits.argmax(axis=1), [str(k) for k in range(labels)]
    ours = one_of(names).score(logit_table(logits), label_table(targets), None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for average in ("macro", "micro", "weighted"):
            wanted = sk.f1_score(targets, guesses, average=average, zero_division=0)
            assert ours[f"f1_{average}"] == pytest.approx(wanted, abs=1e-12)
        assert ours["mcc"] == pytest.approx(sk.matthews_corrcoef(targets, guesses), abs=1e-12)
        assert ours["loss"] == pytest.approx(
            sk.log_loss(targets, np.exp(log_softmax(logits.astype(np.float64))), labels=range(labels)), abs=1e-9
        )
    assert ours["accuracy"] == pytest.approx(sk.accuracy_score(targets, guesses))
    assert ours["confusion_matrix"] == sk.confusion_matrix(targets, guesses, labels=range(labels)).tolist()
    assert ours["per_label"]["0"]["support"] == int((targets == 0).sum())
    assert set(ClassificationTask.metrics) <= set(ours)


@examples(0.3)
@given(SEEDS, st.integers(2, 6))
def test_areas_agree_with_scikit_learn(seed: int, labels: int) -> None:
    logits, targets = one_label(seed, rows=80, labels=labels)
    probabilities, truth = np.exp(log_softmax(logits.astype(np.float64))), targets[:, None] == np.arange(labels)
    here = [k for k in range(labels) if truth[:, k].any()]
    ours = one_of([str(k) for k in range(labels)]).score(logit_table(logits), label_table(targets), None)
    roc = np.mean([sk.roc_auc_score(truth[:, k], probabilities[:, k]) for k in here])
    precision = np.mean([sk.average_precision_score(truth[:, k], probabilities[:, k]) for k in here])
    assert (ours["roc_auc"], ours["pr_auc"]) == (pytest.approx(roc, abs=1e-9), pytest.approx(precision, abs=1e-9))


@examples(0.6)
@given(SEEDS, st.integers(2, 6), st.integers(1, 4))
def test_rows_with_equal_odds_tie(seed: int, labels: int, spread: int) -> None:
    """Whole-number logits give many equal odds; `fsum` rounds once, so its sums are equal where they should be."""
    generator = np.random.default_rng(seed)
    logits, targets = generator.integers(-spread, spread + 1, size=(60, labels)), generator.integers(0, labels, size=60)
    others = [[np.delete(row, k) - row[k] for k in range(labels)] for row in logits]
    odds = np.array([[-math.log(math.fsum(np.exp(rest))) for rest in row] for row in others])
    truth = targets[:, None] == np.arange(labels)
    here = [k for k in range(labels) if truth[:, k].any()]
    ours = one_of([str(k) for k in range(labels)]).score(logit_table(logits), label_table(targets), None)
    if len(here) > 1:
        assert ours["roc_auc"] == pytest.approx(np.mean([sk.roc_auc_score(truth[:, k], odds[:, k]) for k in here]))
        precision = np.mean([sk.average_precision_score(truth[:, k], odds[:, k]) for k in here])
        assert ours["pr_auc"] == pytest.approx(precision)


@examples(0.4)
@given(SEEDS, st.integers(2, 60), st.integers(1, 5))
def test_multilabel_agrees_with_scikit_learn(seed: int, rows: int, labels: int) -> None:
    generator = np.random.default_rng(seed)
    targets = (generator.random((rows, labels)) < generator.random(labels)).astype(np.float32)
    logits = generator.normal(size=(rows, labels)).round(1) + targets
    view = any_labels([str(k) for k in range(labels)])
    state = view.fit_state(logit_table(logits), label_table(targets))
    ours, cuts = view.score(logit_table(logits), label_table(targets), state), state["thresholds"]
    truth, given_labels, probabilities = targets > 0, sigmoid(logits) >= np.array(cuts), sigmoid(logits)
    columns = range(labels)
    f1 = np.array([sk.f1_score(truth[:, k], given_labels[:, k], zero_division=0) for k in columns])
    micro = sk.f1_score(truth.ravel(), given_labels.ravel(), zero_division=0)
    mixed = [k for k in columns if 0 < truth[:, k].sum() < rows]
    assert ours["f1_macro"] == pytest.approx(f1.mean())
    assert ours["f1_micro"] == pytest.approx(micro)
    assert ours["f1_weighted"] == pytest.approx(f1 @ truth.sum(axis=0) / max(truth.sum(), 1))
    assert ours["subset_accuracy"] == pytest.approx((truth == given_labels).all(axis=1).mean())
    assert ours["loss"] == pytest.approx(
        -np.where(truth, np.log(probabilities), np.log1p(-probabilities)).mean(), abs=1e-9
    )
    if mixed:
        roc = np.mean([sk.roc_auc_score(truth[:, k], logits[:, k]) for k in mixed])
        precision = np.mean([sk.average_precision_score(truth[:, k], logits[:, k]) for k in mixed])
        assert (ours["roc_auc"], ours["pr_auc"]) == (pytest.approx(roc), pytest.approx(precision))
    else:
        assert ours["roc_auc"] is None and ours["pr_auc"] is None
    assert set(MultilabelTask.metrics) <= set(ours)


@examples(1.5)
@given(st.lists(st.tuples(st.sampled_from(np.linspace(0, 1, 9).tolist()), st.booleans()), min_size=1, max_size=30))
def test_no_threshold_beats_the_tuned_one(rows: list[tuple[float, bool]]) -> None:
    probabilities, truth = (np.array(column) for column in zip(*rows, strict=True))
    tuned = best_threshold(probabilities, truth, otherwise=0.5)
    if not truth.any():
        assert tuned == 0.5
        return

    def f1(cut: float) -> float:
        hits, given_rows = (truth & (probabilities >= cut)).sum(), (probabilities >= cut).sum()
        return float(2 * hits / (given_rows + truth.sum()))

    def given(cut: float) -> int:
        return int((probabilities >= cut).sum())

    cuts = [cut for cut in [*np.linspace(0, 1, 161).tolist(), 1.01] if given(cut) <= 2 * truth.sum()]
    assert given(tuned) <= 2 * truth.sum() and f1(tuned) == max(map(f1, cuts))


def test_a_tuned_threshold_stands_in_the_middle_of_its_gap() -> None:
    assert best_threshold(np.array([0.1, 0.2, 0.6]), np.array([False, False, True]), otherwise=0.5) == pytest.approx(
        0.4
    )


def test_extreme_logits_stay_finite() -> None:
    logits = np.array([[1e4, -1e4], [-1e4, 1e4], [1e4, -1e4]], dtype=np.float32)
    one = one_of(["a", "b"]).score(logit_table(logits), label_table(np.array([0, 1, 1])), None)
    assert one["loss"] == pytest.approx(2e4 / 3)
    many = any_labels(["a", "b"]).score(logit_table(logits), label_table((logits > 0).astype(np.float32)), None)
    assert many["loss"] == 0.0 and many["f1_macro"] == 1.0
    scalars = [value for metrics in (one, many) for value in metrics.values() if isinstance(value, float)]
    assert np.isfinite(scalars).all()


def test_confidence_that_rounds_to_one_still_ranks() -> None:
    logits = np.array([[100.0, 0, 0], [90.0, 0, 0], [80.0, 0, 0], [70.0, 0, 0]])
    metrics = one_of(["a", "b", "c"]).score(logit_table(logits), label_table(np.array([0, 0, 1, 2])), None)
    assert metrics["roc_auc"] == pytest.approx((1 + 2 / 3 + 1) / 3)


def test_undefined_values_are_none_or_zero() -> None:
    metrics = one_of(["a", "b", "c"]).score(logit_table(np.eye(3)[[0, 0]]), label_table(np.array([0, 0])), None)
    assert metrics["roc_auc"] is None and metrics["pr_auc"] is None
    assert metrics["mcc"] == 0.0
    assert metrics["f1_macro"] == 1.0, "labels that occur nowhere do not count"
    assert metrics["per_label"]["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0, "predicted": 0}
    alone = one_of(["a"]).score(logit_table(np.zeros((2, 1))), label_table(np.array([0, 0])), None)
    assert alone["accuracy"] == 1.0 and alone["loss"] == 0.0


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.55, 0.45], [1.0, 0.0]])
    wanted = (abs(2 * 0.95 + 1.0 - 2) + abs(0.55 - 0)) / 4
    logits = np.log(np.maximum(probabilities, 1e-300))
    assert quality(logits, np.array([0, 1, 1, 0]), "single_label")["ece"] == pytest.approx(wanted)


def test_logits_that_are_not_finite_are_refused() -> None:
    with pytest.raises(NonFiniteLoss, match="logits must be finite, but 1 of 4 are not; try a lower optim.lr"):
        one_of(["a", "b"]).score(logit_table(np.array([[0, np.nan], [0, 1]])), label_table(np.array([0, 1])), None)
