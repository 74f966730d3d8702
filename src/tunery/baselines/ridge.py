"""Ridge regression: numbers, or levels in an order, from given features."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, lsqr
from scipy.special import expit

from tunery.baselines.linear import STRENGTHS, Array, Features, Linear, centre_and_scale, cuts_of

_TOLERANCE: Final = 1e-6
"""Relative error of a solution at which LSQR ends."""
_MOST_STEPS: Final = 1_000
_LEAST_SLOPE: Final = 1e-6


@dataclass(frozen=True)
class RidgeFit:
    """A chosen model, and what it answers about rows that it was fitted without."""

    linear: Linear
    strength: float
    """C: the inverse of the penalty on features whose squared norm is 1 in the mean."""
    rows: npt.NDArray[np.int64]
    """Numbers of the rows that were left out; all rows where they are too few for that."""
    left_out: npt.NDArray[np.float64]
    """The answer about each of them, (rows,)."""


def fit_ridge(features: Features, numbers: Array, *, seed: int) -> RidgeFit:
    """min_w sum (x w + b - y)^2 + |w|^2 / C, by LSQR (Paige & Saunders 1982).

    C is the one with the least squared error of rows left out, in five folds of the given rows or, from 2,000 rows on,
    in one of them. Features are scaled by one number for the fit; the result takes them as they are.

    Args:
        numbers: (rows,).
        seed: of the folds.
    """
    _, scale = centre_and_scale(features)
    cuts = cuts_of(numbers, seed=seed)
    rows = np.concatenate([outer for _, outer in cuts]) if cuts else np.arange(len(numbers))
    best, chosen, left_out = np.inf, STRENGTHS[0], np.full(len(rows), numbers.mean())
    for strength in STRENGTHS if cuts and features.shape[1] else ():
        answers = np.concatenate([_answers(features, numbers, inner, outer, strength, scale) for inner, outer in cuts])
        error = float(np.square(answers - numbers[rows]).mean())
        if error < best:
            best, chosen, left_out = error, strength, answers
    return RidgeFit(_solve(features, numbers, chosen, scale), chosen, rows, left_out)


def fit_levels(features: Features, levels: Array, *, outputs: int, seed: int) -> Linear:
    """Log odds of being above each level but the highest, a slope times the score of a ridge regression on the numbers
    of levels plus an offset for each level (proportional odds: McCullagh 1980). Slope and offsets have the highest
    likelihood on rows that were left out of the regression.

    Args:
        levels: int64 (rows,), from 0.
        outputs: levels but the highest.
    """
    ridge = fit_ridge(features, levels.astype(np.float64), seed=seed)
    slope, offsets = _proportional_odds(ridge.left_out, levels[ridge.rows], outputs)
    weight, bias = ridge.linear.weight * slope, ridge.linear.bias * slope + offsets
    return Linear(weight.astype(np.float32), bias.astype(np.float32))


def fit_mean_levels(levels: Array, *, outputs: int) -> Linear:
    """Log odds of how often rows are above each level but the highest, whatever the features: they have none."""
    above = (levels[:, None] > np.arange(outputs)).sum(axis=0)
    rate = (above + 0.5) / (len(levels) + 1)
    return Linear(np.zeros((1, 0), dtype=np.float32), (np.log(rate) - np.log1p(-rate)).astype(np.float32))


def fit_mean(numbers: Array) -> Linear:
    """The mean, whatever the features: they have none."""
    return Linear(np.zeros((1, 0), dtype=np.float32), np.array([numbers.mean()], dtype=np.float32))


def _answers(features: Features, numbers: Array, inner: Array, outer: Array, strength: float, scale: float) -> Array:
    linear = _solve(features[inner], numbers[inner], strength, scale)
    return linear(features[outer])[:, 0].astype(np.float64)


def _solve(features: Features, numbers: Array, strength: float, scale: float) -> Linear:
    """The offset has no penalty: features and numbers are centred, the former without losing what is sparse."""
    rows, width = features.shape
    if not width:
        return fit_mean(numbers)
    scaled = features.astype(np.float64) / scale
    turned = scaled.T.tocsr() if isinstance(scaled, csr_matrix) else scaled.T
    centre = np.asarray(scaled.mean(axis=0)).ravel()

    def matvec(weight: Array) -> Array:
        return np.asarray(scaled @ weight.ravel() - centre @ weight.ravel())

    def rmatvec(residual: Array) -> Array:
        return np.asarray(turned @ residual.ravel() - centre * residual.sum())

    centred = LinearOperator((rows, width), matvec=matvec, rmatvec=rmatvec, dtype=np.float64)
    mean = float(numbers.mean())
    solved = lsqr(centred, numbers - mean, damp=strength**-0.5, atol=_TOLERANCE, btol=_TOLERANCE, iter_lim=_MOST_STEPS)
    weight = solved[0]
    offset = np.array([mean - centre @ weight], dtype=np.float32)
    return Linear((weight / scale)[None].astype(np.float32), offset)


def _proportional_odds(scores: Array, levels: Array, outputs: int) -> tuple[float, Array]:
    """The slope, above 0, and the offsets with the least sum of sigmoid cross-entropies."""
    above = (levels[:, None] > np.arange(outputs)).astype(np.float64)
    centre, width = float(scores.mean()), float(scores.std()) or 1.0
    units = (scores - centre) / width
    rate = (above.sum(axis=0) + 0.5) / (len(levels) + 1)

    def loss(given: Array) -> tuple[float, Array]:
        logits = np.exp(given[0]) * units[:, None] + given[1:]
        # log(1 + e^z) - y z, and its gradient
        value = float((np.logaddexp(0, logits) - above * logits).mean())
        residual = (expit(logits) - above) / logits.size
        slope = float((residual * units[:, None]).sum() * np.exp(given[0]))
        return value, np.concatenate([[slope], residual.sum(axis=0)])

    start = np.concatenate([[0.0], np.log(rate) - np.log1p(-rate)])
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=[(np.log(_LEAST_SLOPE), 10.0), *[(-30, 30)] * outputs]
    )
    slope = float(np.exp(found.x[0])) / width
    return slope, found.x[1:] - slope * centre
