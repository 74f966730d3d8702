"""Ridge regression against its closed form, and levels against what made them."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tunery.baselines.linear_models import CONSTANT_MODELS, LINEAR_MODELS, fit_constant
from tunery.baselines.ridge import fit_levels, fit_ridge
from tunery.baselines.targets import LinearTargets

DRAW = np.random.default_rng(0)
FEATURES = (DRAW.normal(size=(150, 12)) + 3).astype(np.float32)
NUMBERS = FEATURES @ DRAW.normal(size=12) + DRAW.normal(size=150) + 40


def closed_form(features: np.ndarray, numbers: np.ndarray, strength: float) -> tuple[np.ndarray, float]:
    """(X'X + s^2 / C)^-1 X'y of centred features and numbers, where s^2 is their mean squared norm."""
    exact = features.astype(np.float64)
    centred = exact - exact.mean(axis=0)
    penalty = (centred**2).sum() / len(exact) / strength
    weight = np.linalg.solve(
        centred.T @ centred + penalty * np.eye(exact.shape[1]), centred.T @ (numbers - numbers.mean())
    )
    return weight, float(numbers.mean() - exact.mean(axis=0) @ weight)


def test_it_is_the_closed_form() -> None:
    fit = fit_ridge(FEATURES, NUMBERS, seed=0)
    weight, bias = closed_form(FEATURES, NUMBERS, fit.strength)
    assert fit.linear.weight[0] == pytest.approx(weight, rel=1e-3, abs=1e-4)
    assert float(fit.linear.bias[0]) == pytest.approx(bias, rel=1e-3)
    assert sorted(fit.rows.tolist()) == list(range(150))
    assert 0 < np.square(fit.left_out - NUMBERS[fit.rows]).mean() < 2 < NUMBERS.var()


def test_sparse_features_give_what_dense_ones_do() -> None:
    """But for their scale: sparse ones are not centred, so that C means another penalty."""
    thin = np.where(DRAW.random(FEATURES.shape) < 0.7, 0, FEATURES).astype(np.float32)
    numbers = thin @ np.arange(12.0)
    dense, sparse = (fit_ridge(features, numbers, seed=0).linear(thin)[:, 0] for features in (thin, csr_matrix(thin)))
    assert np.corrcoef(dense, sparse)[0, 1] > 0.999


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_few_rows_give_numbers_all_the_same(rows: int) -> None:
    fit = fit_ridge(FEATURES[:rows], NUMBERS[:rows], seed=0)
    assert np.isfinite(fit.linear(FEATURES)).all()
    assert np.isfinite(fit_levels(FEATURES[:rows], np.arange(rows), outputs=2, seed=0)(FEATURES)).all()


def test_levels_are_found_with_how_sure_they_are() -> None:
    draw = np.random.default_rng(1)
    features = draw.normal(size=(3000, 6)).astype(np.float32)
    hidden = features @ np.array([2.0, -1.0, 0, 0, 0.5, 0])
    cuts = np.array([-1.0, 0.0, 2.5])
    levels = (hidden[:, None] + draw.logistic(size=(3000, 1)) > cuts).sum(axis=1)
    linear = fit_levels(features[:2500], levels[:2500], outputs=3, seed=0)
    logits = linear(features[2500:])
    assert logits.shape == (500, 3) and (np.diff(logits, axis=1) < 0).all()
    chances, above = 1 / (1 + np.exp(-logits)), levels[2500:, None] > np.arange(3)
    assert np.abs(chances.mean(axis=0) - above.mean(axis=0)).max() < 0.05
    slope = np.polyfit(hidden[2500:], logits[:, 1], 1)[0]
    assert slope == pytest.approx(1, abs=0.15), "the log odds that the rows were drawn with"


def test_one_answer_for_all_is_the_mean_or_the_frequencies() -> None:
    numbers = fit_constant(LinearTargets("number", np.array([1.0, 2.0, 6.0]), 1))
    assert numbers(np.zeros((2, 0), dtype=np.float32)).tolist() == [[3.0], [3.0]]
    levels = fit_constant(LinearTargets("levels", np.array([0, 1, 1, 2, 2, 2, 2]), 2))
    assert levels(np.zeros((1, 0), dtype=np.float32))[0] == pytest.approx(
        [np.log(6.5 / 1.5), np.log(4.5 / 3.5)], rel=1e-5
    )
    assert LINEAR_MODELS.keys() == CONSTANT_MODELS.keys()
