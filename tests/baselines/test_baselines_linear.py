"""Logistic regression: the solution is scikit-learn's, the penalty is chosen by rows left out."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from tunery.baselines.linear import STRENGTHS, Fit, fit_logistic, fit_majority

RNG = np.random.default_rng(0)
ROWS, WIDTH = 300, 12
X = RNG.normal(size=(ROWS, WIDTH)).astype(np.float32) * 3 + 5
SCORES = (X - 5) @ RNG.normal(size=(WIDTH, 4)) + RNG.normal(size=(ROWS, 4)) * 3
ONE = SCORES.argmax(axis=1)
MANY = (SCORES > 2).astype(np.float32)


def scaled() -> np.ndarray:
    moved = X - X.mean(axis=0)
    return moved / np.sqrt(np.square(moved).sum(axis=1).mean())


@pytest.mark.parametrize("strength", [0.1, 10.0])
def test_one_label_is_scikit_learns_solution(strength: float) -> None:
    fit = fit_logistic(X, ONE, labels=4, seed=0, strengths=[strength])
    ours = fit.linear(X) / fit.factor
    theirs = LogisticRegression(C=strength, tol=1e-8, max_iter=5000).fit(scaled(), ONE).decision_function(scaled())
    gap = (ours - ours.mean(axis=1, keepdims=True)) - (theirs - theirs.mean(axis=1, keepdims=True))
    assert np.abs(gap).max() < 0.01 * np.abs(theirs).max()


def test_any_number_of_labels_is_one_binary_solution_each() -> None:
    fit = fit_logistic(X, MANY, labels=4, seed=0, strengths=[3.0])
    ours = fit.linear(X) / fit.factor
    for label in range(4):
        binary = LogisticRegression(C=3.0, tol=1e-8, max_iter=5000).fit(scaled(), MANY[:, label])
        theirs = binary.decision_function(scaled())
        assert np.abs(ours[:, label] - theirs).max() < 0.01 * np.abs(theirs).max()


@pytest.mark.parametrize("wanted", [ONE, MANY], ids=["one label", "any number"])
def test_correlated_features_of_very_different_spread_give_scikit_learns_solution_too(wanted: np.ndarray) -> None:
    mixed = (X - 5) @ (np.logspace(0, -3, WIDTH)[:, None] * np.linalg.qr(RNG.normal(size=(WIDTH, WIDTH)))[0])
    moved = mixed - mixed.mean(axis=0)
    rows = (moved / np.sqrt(np.square(moved).sum(axis=1).mean())).astype(np.float32)
    fit = fit_logistic(rows, wanted, labels=4, seed=0, strengths=[300.0])
    ours = fit.linear(rows) / fit.factor
    solver = LogisticRegression(C=300.0, tol=1e-10, max_iter=50_000)
    if wanted.ndim == 1:
        theirs = solver.fit(rows, wanted).decision_function(rows)
        ours, theirs = (each - each.mean(axis=1, keepdims=True) for each in (ours, theirs))
    else:
        theirs = np.stack([solver.fit(rows, one).decision_function(rows) for one in wanted.T], axis=1)
    assert np.abs(ours - theirs).max() < 0.01 * np.abs(theirs).max()


def test_features_that_are_not_finite_give_no_finite_model() -> None:
    rows = X.copy()
    rows[3, 2] = np.inf
    with np.errstate(invalid="ignore"):
        assert not np.isfinite(fit_logistic(rows, ONE, labels=4, seed=0).linear.weight).all()


def test_sparse_features_give_what_the_same_dense_ones_give_without_an_offset() -> None:
    centred = scaled().astype(np.float32)
    dense, sparse = (fit_logistic(x, ONE, labels=4, seed=0, strengths=[1.0]) for x in (centred, csr_matrix(centred)))
    assert np.abs(dense.linear(centred) - sparse.linear(csr_matrix(centred))).max() < 1e-2


@pytest.mark.parametrize("wanted", [ONE, MANY], ids=["one label", "any number"])
def test_more_features_than_rows_give_scikit_learns_solution_too(wanted: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(60, 500)).astype(np.float32) * (rng.random((60, 500)) < 0.1)
    rows[7], rows[8] = rows[6], 0  # equal rows, and one without any feature
    sparse, wanted = csr_matrix(rows), wanted[:60]
    scale = np.sqrt(np.square(rows).sum(axis=1).mean())
    fit = fit_logistic(sparse, wanted, labels=4, seed=0, strengths=[3.0])
    unseen = rng.normal(size=(20, 500)).astype(np.float32)
    for known in (rows, unseen):
        ours = fit.linear(csr_matrix(known)) / fit.factor
        if wanted.ndim == 1:
            model = LogisticRegression(C=3.0, tol=1e-10, max_iter=5000).fit(rows / scale, wanted)
            theirs = model.decision_function(known / scale)
            ours, theirs = (each - each.mean(axis=1, keepdims=True) for each in (ours, theirs))
        else:
            models = [LogisticRegression(C=3.0, tol=1e-10, max_iter=5000).fit(rows / scale, one) for one in wanted.T]
            theirs = np.stack([model.decision_function(known / scale) for model in models], axis=1)
        assert np.abs(ours - theirs).max() < 0.01 * np.abs(theirs).max()


def test_noise_is_penalised_and_a_clear_rule_is_not() -> None:
    noise = fit_logistic(RNG.normal(size=(200, 50)).astype(np.float32), ONE[:200] % 2, labels=2, seed=0)
    clear = fit_logistic(X, (X[:, 0] > 5).astype(np.int64), labels=2, seed=0)
    assert noise.strength * noise.factor < 0.3 and clear.strength >= 100
    assert min(clear.losses, key=clear.losses.__getitem__) == clear.strength


def test_probabilities_fit_rows_that_were_not_seen() -> None:
    rows = RNG.normal(size=(4000, 200)).astype(np.float32)
    right = (rows[:, 0] + RNG.normal(size=4000) > 0).astype(np.int64)
    fit = fit_logistic(rows[:300], right[:300], labels=2, seed=0, strengths=[1000.0])
    odds = np.diff(fit.linear(rows[300:])).ravel()
    probability, is_right = 1 / (1 + np.exp(-np.abs(odds))), (odds > 0) == right[300:]
    assert fit.factor < 0.3  # by itself it would be far too sure of itself
    assert abs(probability.mean() - is_right.mean()) < 0.06


def fit_of(features: np.ndarray, targets: np.ndarray, *, labels: int) -> Fit:
    return fit_logistic(features, targets, labels=labels, seed=1)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_few_rows_are_enough(rows: int) -> None:
    fit = fit_of(X[:rows], np.arange(rows), labels=3)
    assert fit.linear(X[:rows]).argmax(axis=1).tolist() == list(range(rows))
    assert fit.strength in STRENGTHS


def test_constant_features_say_how_often_each_label_occurs() -> None:
    fit = fit_of(np.ones((40, 3), dtype=np.float32), np.array([0] * 30 + [1] * 10), labels=2)
    odds = np.diff(fit.linear(np.ones((1, 3), dtype=np.float32)))
    assert odds == pytest.approx(np.log(1 / 3), abs=1e-3)


def test_the_same_seed_gives_the_same_model() -> None:
    first, second = (fit_of(X, MANY, labels=4) for _ in range(2))
    assert first.losses == second.losses
    assert np.array_equal(first.linear.weight, second.linear.weight)


def test_the_majority_is_named_for_every_row() -> None:
    one = fit_majority(np.array([0, 2, 2, 2, 1]), labels=3)(np.zeros((4, 0), dtype=np.float32))
    assert one.argmax(axis=1).tolist() == [2] * 4
    many = fit_majority(np.array([[1, 0], [1, 0], [1, 0], [0, 0]]), labels=2)(np.zeros((1, 0), dtype=np.float32))
    assert many[0, 0] > 0 > many[0, 1]
