"""Confident learning, beside an implementation from the definitions of the paper, and on rows with known errors."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.data.label_doubts import (
    calibrated_joint,
    confident_joint,
    doubtful_labels,
    doubtful_numbers,
    informed_labels,
)

Array = npt.NDArray[Any]


def table(seed: int, *, rows: int = 120, labels: int = 3) -> tuple[Array, Array]:
    """Probabilities, and labels that mostly follow them; every label has rows."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(rows, labels)) * 2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    given = np.where(draw.random(rows) < 0.8, p.argmax(axis=1), draw.integers(labels, size=rows))
    given[:labels] = np.arange(labels)
    return p, given


def noise_estimate(p: Array, given: Array) -> tuple[list[list[int]], list[list[float]]]:
    """Equations 1 to 3, cell by cell: counts of the confident joint, and rows after calibration."""
    rows, count = p.shape
    threshold = [np.mean([p[row][j] for row in range(rows) if given[row] == j]) for j in range(count)]
    joint = [[0] * count for _ in range(count)]
    for row in range(rows):
        confident = [j for j in range(count) if p[row][j] >= threshold[j]]
        if confident:
            joint[given[row]][max(confident, key=lambda j: p[row][j])] += 1
    calibrated = []
    for i in range(count):
        total, labelled = sum(joint[i]), sum(1 for row in range(rows) if given[row] == i)
        calibrated.append([labelled * (cell / total if total else float(i == j)) for j, cell in enumerate(joint[i])])
    return joint, calibrated


def pruned(p: Array, given: Array) -> set[int]:
    """Rows that both ways of pruning name and whose label is not the most probable one."""
    rows, count = p.shape
    _, estimate = noise_estimate(p, given)
    by_class: set[int] = set()
    by_rate: set[int] = set()
    for i in range(count):
        own = [row for row in range(rows) if given[row] == i]
        wrong = sum(estimate[i][j] for j in range(count) if j != i)
        by_class |= {*sorted(own, key=lambda row: p[row][i])[: round(wrong)]}
        for j in range(count):
            if j != i:
                by_rate |= {*sorted(own, key=lambda row: p[row][i] - p[row][j])[: round(estimate[i][j])]}
    return {row for row in by_class & by_rate if p[row].argmax() != given[row]}


@pytest.mark.parametrize("labels", [2, 3, 5])
@pytest.mark.parametrize("seed", range(6))
def test_it_is_what_the_paper_defines(seed: int, labels: int) -> None:
    p, given = table(seed, labels=labels)
    joint, estimate = noise_estimate(p, given)
    assert confident_joint(p, given).tolist() == joint
    assert np.allclose(calibrated_joint(confident_joint(p, given), given), estimate)
    doubts = doubtful_labels(p, given, np.zeros(len(p), dtype=np.int64))
    assert {*doubts.rows.tolist()} == pruned(p, given) and len(doubts.rows) > 2
    margins = [p[row, given[row]] - np.delete(p[row], given[row]).max() for row in doubts.rows]
    assert margins == sorted(margins)
    assert doubts.labels.tolist() == given[doubts.rows].tolist()
    assert doubts.suggested.tolist() == p[doubts.rows].argmax(axis=1).tolist()
    assert np.allclose(doubts.given_probability - doubts.suggested_probability, margins)


@given(st.integers(0, 10_000), st.sampled_from([2, 4]), st.booleans())
def test_rows_in_another_order_get_the_same_answer(seed: int, labels: int, several: bool) -> None:
    p, given = table(seed, labels=labels)
    targets = np.eye(labels)[given] if several else given
    folds = np.random.default_rng(seed).integers(-1, 5, size=len(p))
    order = np.random.default_rng(seed + 1).permutation(len(p))
    doubts, again = doubtful_labels(p, targets, folds), doubtful_labels(p[order], targets[order], folds[order])
    assert order[again.rows].tolist() == doubts.rows.tolist()
    assert again.labels.tolist() == doubts.labels.tolist() and again.suggested.tolist() == doubts.suggested.tolist()
    assert (folds[doubts.rows] >= 0).all()


def test_rows_without_a_model_change_nothing() -> None:
    p, given = table(3)
    alone = doubtful_labels(p, given, np.zeros(len(p), dtype=np.int64))
    more = np.concatenate([p, np.full((5, 3), np.nan)])
    folds = np.concatenate([np.zeros(len(p), dtype=np.int64), np.full(5, -1)])
    beside = doubtful_labels(more, np.concatenate([given, np.zeros(5, dtype=np.int64)]), folds)
    assert beside.rows.tolist() == alone.rows.tolist()


def test_of_several_labels_each_is_a_problem_of_its_own() -> None:
    draw = np.random.default_rng(0)
    has = draw.random((200, 3)) < 0.3
    p = np.clip(np.where(has, 0.85, 0.1) + draw.normal(scale=0.06, size=has.shape), 0.01, 0.99)
    wrong = has.copy()
    wrong[:4, 0], wrong[4:8, 2] = ~has[:4, 0], ~has[4:8, 2]
    everywhere = np.zeros(200, dtype=np.int64)
    doubts = doubtful_labels(p, wrong.astype(float), everywhere)
    alone = [
        (row, label)
        for label in range(3)
        for row in pruned(np.stack([1 - p[:, label], p[:, label]], axis=1), wrong[:, label].astype(int))
    ]
    assert sorted(zip(doubts.rows.tolist(), doubts.labels.tolist(), strict=True)) == sorted(alone)
    assert {(row, 0) for row in range(4)} | {(row, 2) for row in range(4, 8)} == {*alone}
    assert doubts.suggested.tolist() == [int(has[row, label]) for row, label in zip(doubts.rows, doubts.labels)]  # noqa: B905


def test_a_label_that_models_know_nothing_of_is_not_doubted() -> None:
    draw = np.random.default_rng(0)
    has = draw.random((300, 2)) < [0.5, 0.1]
    p = np.stack([np.where(has[:, 0], 0.8, 0.2), draw.uniform(0.02, 0.2, size=300)], axis=1)
    folds = np.zeros(300, dtype=np.int64)
    assert informed_labels(p, has.astype(float), folds).tolist() == [0]
    assert 1 not in doubtful_labels(p, has.astype(float), folds).labels
    shuffled = draw.permutation(has[:, 0].astype(np.int64))
    both = np.stack([1 - p[:, 0], p[:, 0]], axis=1)
    assert not len(informed_labels(both, shuffled, folds))
    assert informed_labels(both, has[:, 0].astype(np.int64), folds).tolist() == [0, 1]


def test_known_errors_are_found_where_labels_are_told_apart() -> None:
    """Three normal distributions; the probabilities are the right ones."""
    draw = np.random.default_rng(0)
    truth = draw.integers(3, size=1500)
    points = draw.normal(size=(1500, 2)) + 5 * np.eye(3)[truth][:, :2]
    logits = -0.5 * ((points[:, None, :] - 5 * np.eye(3)[:, :2]) ** 2).sum(axis=2)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = draw.choice(1500, 75, replace=False)
    given = truth.copy()
    given[wrong] = (truth[wrong] + draw.integers(1, 3, size=75)) % 3
    doubts = doubtful_labels(p, given, np.zeros(1500, dtype=np.int64))
    found = np.isin(doubts.rows, wrong)
    assert found.mean() > 0.9 and found.sum() > 0.7 * 75
    assert (doubts.suggested == truth[doubts.rows])[found].mean() > 0.95


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (4, 1)])
def test_few_rows_or_one_label_give_no_doubt(shape: tuple[int, int]) -> None:
    p, folds = np.full(shape, 1 / shape[1]), np.zeros(shape[0], dtype=np.int64)
    assert not len(doubtful_labels(p, np.zeros(shape[0], dtype=np.int64), folds).rows)
    assert not len(doubtful_labels(p, np.zeros(shape), folds).rows)


def test_numbers_far_from_what_is_predicted_are_named_the_farthest_first() -> None:
    draw = np.random.default_rng(0)
    predicted = draw.normal(size=200)
    given = predicted + draw.normal(scale=0.1, size=200)
    given[[7, 50, 120]] += [3.0, -5.0, 9.0]
    folds = np.zeros(200, dtype=np.int64)
    folds[120] = -1
    doubts = doubtful_numbers(predicted, given, folds)
    assert doubts.rows.tolist()[:2] == [50, 7] and 120 not in doubts.rows
    residual = (given - predicted)[folds >= 0]
    deviation = np.abs(residual - np.median(residual))
    assert len(doubts.rows) == (0.6745 * deviation / np.median(deviation) >= 3.5).sum()
    assert not len(doubtful_numbers(given, given, folds).rows)
