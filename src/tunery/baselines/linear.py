"""Logistic regression over given features: all labels at once, the strength of its penalty from rows left out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize, minimize_scalar
from scipy.sparse import csr_matrix

Array = npt.NDArray[Any]
Features: TypeAlias = npt.NDArray[np.float32] | Any
"""(rows, features) of float32: an array, or a `csr_matrix`."""
Problem = Literal["single_label", "multi_label"]

STRENGTHS: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Values of C that are tried, from the strongest penalty on; of features whose squared norm is 1 in the mean."""
_FOLDS: Final = 5
_ONE_FOLD_FROM: Final = 2_000
"""Rows from which one of the folds is enough to choose by."""
_GRADIENT: Final = 1e-5
"""Largest entry of the gradient of the mean loss at which a fit ends."""
_ROUGH_GRADIENT: Final = 3e-4
"""The same in units in which the loss is about as curved in all directions, while C is chosen."""
_FINE_GRADIENT: Final = 5e-5
"""And of the fit to all rows: with the rough one a few rows of a thousand get another answer."""
_CURVATURE: Final = 3.0
"""Of the loss while it is fitted, as a multiple of that where the model knows only how often each label occurs. It
decides how many steps a fit takes: with 1 and with 10 they were more."""
_MOST_STEPS: Final = 1_000
_MOST_AXES: Final = 1_024
"""Dense features up to which finding their principal axes takes less time than it saves."""
_MOST_COORDINATES: Final = 4_000
"""Rows up to which sparse features are fitted in coordinates of the rows: a factorisation of (rows, rows)."""
_JITTER: Final = 1e-9
"""Added to the squared norms of the rows, which are 1 in the mean, so that equal rows can be factorised."""
_CORRECTIONS: Final = 6
"""Earlier steps that L-BFGS remembers: each keeps two float64 numbers per weight."""


@dataclass(frozen=True)
class Linear:
    """A matrix and an offset: features become logits, or numbers."""

    weight: npt.NDArray[np.float32]
    """(labels, features); (1, features) of levels, which share them."""
    bias: npt.NDArray[np.float32]
    """(labels,)"""

    def __call__(self, features: Features) -> npt.NDArray[np.float32]:
        """(rows, features) -> (rows, labels)"""
        return np.asarray(features @ self.weight.T + self.bias, dtype=np.float32)


@dataclass(frozen=True)
class Fit:
    """A chosen model, and what it was chosen by."""

    linear: Linear
    strength: float
    """C: the inverse of the penalty, as in scikit-learn, on features whose squared norm is 1 in the mean."""
    factor: float
    """What all logits are multiplied by, so that probabilities fit rows left out."""
    losses: Mapping[float, float]
    """Mean loss of the rows left out with the best factor, for every C that was tried."""


def fit_logistic(
    features: Features, targets: Array, *, labels: int, seed: int, strengths: Sequence[float] = STRENGTHS
) -> Fit:
    """Logistic regression with an L2 penalty on the weights, by L-BFGS (Nocedal & Wright 2006, section 7.2).

    C is the one with the lowest loss on rows left out, in five folds of the given rows or, from 2,000 rows on, in one
    of them. A strong penalty makes logits small, which says nothing about how well they tell labels apart: so losses
    are compared, and the result is given, with one factor on all logits that fits the rows left out (temperature
    scaling, Guo et al. 2017, section 4.2). The model is then fitted to all rows. Dense features are centred, and all
    are scaled by one number for the fit; the result takes them as they are. Fits are in coordinates in which they need
    few steps.

    Args:
        targets: int64 (rows,), or 0 and 1 (rows, labels), where any number of labels may be right.
        seed: of the folds.
        strengths: values of C, ascending; larger ones are left out once the loss has risen twice.
    """
    problem: Problem = "single_label" if targets.ndim == 1 else "multi_label"
    wanted = np.eye(labels, dtype=np.float32)[targets] if targets.ndim == 1 else targets.astype(np.float32)
    centre, scale = centre_and_scale(features)
    scaled = features.multiply(1 / scale).tocsr() if isinstance(features, csr_matrix) else (features - centre) / scale
    coordinates = _coordinates(scaled)
    solve = partial(_solve, problem=problem, spread=coordinates.spread)
    rough, fine = (_GRADIENT, _GRADIENT) if coordinates.spread is None else (_ROUGH_GRADIENT, _FINE_GRADIENT)
    losses: dict[float, float] = {}
    factors: dict[float, float] = {}
    for strength, logits, right in _left_out(
        coordinates.features,
        wanted,
        strengths,
        cuts=cuts_of(targets, seed=seed),
        solve=partial(solve, gradient=rough),
    ):
        factors[strength], losses[strength] = _best_factor(logits, right, problem=problem)
        if len(losses) > 2 and list(losses.values())[-3:] == sorted(list(losses.values())[-3:]):
            break
    chosen = min(losses, key=losses.__getitem__, default=strengths[0])
    factor = factors.get(chosen, 1.0)
    model = solve(coordinates.features, wanted, chosen, start=None, gradient=fine)
    weight = (coordinates.weight(model.weight) * (factor / scale)).astype(np.float32)
    linear = Linear(weight, (model.bias * factor - weight @ centre).astype(np.float32))
    return Fit(linear, chosen, factor, losses)


@dataclass(frozen=True)
class _Coordinates:
    """The rows in other coordinates, where they have the same lengths and angles: which is all that a fit with an L2
    penalty knows of them (representer theorem: Schölkopf, Herbrich & Smola 2001, theorem 1)."""

    features: Features
    """(rows, coordinates)"""
    spread: Array | None
    """Mean square of each coordinate, (coordinates,), where they are uncorrelated; None: they are not."""
    weight: Callable[[Array], Array]
    """Makes weights on coordinates, (labels, coordinates), weights on features, (labels, features)."""


def _coordinates(features: Features) -> _Coordinates:
    rows, width = features.shape
    if isinstance(features, csr_matrix):
        if 0 < rows < width and rows <= _MOST_COORDINATES:
            return _as_many_as_rows(features)
    elif width <= _MOST_AXES and np.isfinite(features).all():
        return _principal_axes(features)
    return _Coordinates(features, spread=None, weight=lambda own: own)


def _principal_axes(features: npt.NDArray[np.float32]) -> _Coordinates:
    """A few coordinates have most of the spread, and a fit that knows how much each has needs half of the steps."""
    spread, axes = np.linalg.eigh((features.T @ features).astype(np.float64) / len(features))
    turned = features @ axes.astype(np.float32)
    return _Coordinates(turned, spread=np.maximum(spread, 0), weight=lambda own: own @ axes.T)


def _as_many_as_rows(features: csr_matrix) -> _Coordinates:
    """The Cholesky factor of the inner products of rows: of words, a hundredth of the weights."""
    exact = features.astype(np.float64)
    products = (exact @ exact.T).toarray()
    products[np.diag_indices_from(products)] += _JITTER
    factor = cholesky(products, lower=True)

    def weight(own: Array) -> Array:
        combination = solve_triangular(factor, own.T.astype(np.float64), lower=True, trans="T")
        return np.asarray((exact.T @ combination).T)

    return _Coordinates(factor.astype(np.float32), spread=None, weight=weight)


def fit_majority(targets: Array, *, labels: int) -> Linear:
    """Log odds of how often each label occurs, whatever the features: they have none. targets: as in `fit_logistic`."""
    counts = np.bincount(targets, minlength=labels) if targets.ndim == 1 else targets.sum(axis=0)
    rate = (counts + 0.5) / (len(targets) + 1)
    odds = np.log(rate) if targets.ndim == 1 else np.log(rate) - np.log1p(-rate)
    return Linear(np.zeros((labels, 0), dtype=np.float32), odds.astype(np.float32))


def centre_and_scale(features: Features) -> tuple[Array, float]:
    """What dense features are moved by, and what makes the mean of their squared norm 1."""
    if isinstance(features, csr_matrix):
        centre, squares = np.zeros(features.shape[1], dtype=np.float32), features.multiply(features).sum()
    else:
        centre = features.mean(axis=0)
        squares = float(np.square(features - centre, dtype=np.float64).sum())
    return centre, float(np.sqrt(squares / max(features.shape[0], 1))) or 1.0


def cuts_of(targets: Array, *, seed: int) -> list[tuple[Array, Array]]:
    """Numbers of the rows that a model is fitted to, and of those that are left out, for each fold that a penalty is
    chosen by; none where rows are too few to leave one out."""
    folds, used = _folds(targets, seed=seed), range(1 if len(targets) >= _ONE_FOLD_FROM else _FOLDS)
    cuts = [(np.flatnonzero(folds != number), np.flatnonzero(folds == number)) for number in used]
    return [(inner, outer) for inner, outer in cuts if len(inner) and len(outer)]


def _folds(targets: Array, *, seed: int) -> Array:
    """The fold of each row, (rows,): of each label, set of labels, or range of numbers, as many rows in one fold as in
    another."""
    kind = targets if targets.ndim == 1 else np.unique(targets > 0, axis=0, return_inverse=True)[1].ravel()
    shuffled = np.random.default_rng(seed).permutation(len(targets))
    by_kind = shuffled[np.argsort(kind[shuffled], kind="stable")]
    fold = np.empty(len(targets), dtype=np.int64)
    fold[by_kind] = np.arange(len(targets)) % _FOLDS
    return fold


def _left_out(
    features: Features,
    wanted: Array,
    strengths: Sequence[float],
    *,
    cuts: Sequence[tuple[Array, Array]],
    solve: Callable[..., Linear],
) -> Iterator[tuple[float, Array, Array]]:
    """For each C the logits of rows by models that were fitted without them, and what is right for these rows.

    Each fit starts from the one before it.
    """
    starts: list[Linear | None] = [None] * len(cuts)
    for strength in strengths if cuts else ():
        models = [
            solve(features[inner], wanted[inner], strength, start=start)
            for (inner, _), start in zip(cuts, starts, strict=True)
        ]
        answers = [model(features[outer]) for model, (_, outer) in zip(models, cuts, strict=True)]
        yield strength, np.concatenate(answers), np.concatenate([wanted[outer] for _, outer in cuts])
        starts = [*models]


def _best_factor(logits: Array, wanted: Array, *, problem: Problem) -> tuple[float, float]:
    """The factor on all logits with the lowest mean loss, within e**4 times 1, and that loss."""
    minimum = minimize_scalar(
        lambda power: _loss(logits * np.float32(np.exp(power)), wanted, problem=problem)[0],
        bounds=(-4, 4),
        method="bounded",
        options={"xatol": 1e-2},
    )
    return float(np.exp(minimum.x)), float(minimum.fun)


def _solve(
    features: Features,
    wanted: Array,
    strength: float,
    *,
    problem: Problem,
    spread: Array | None,
    start: Linear | None,
    gradient: float,
) -> Linear:
    """Where the spread of features is known, L-BFGS sees weights in units in which the loss is about as curved in all
    directions: as a diagonal preconditioner.

    Args:
        spread: as in `_Coordinates`.
        start: a model that is near; None: all zero.
        gradient: largest entry of the gradient, in those units, at which the fit ends.
    """
    (rows, width), labels = features.shape, wanted.shape[1]
    transposed = features.T.tocsr() if isinstance(features, csr_matrix) else features.T
    penalty = 1 / (strength * rows)
    units: Array | float = 1.0
    if spread is not None:
        rate = wanted.mean(axis=0)
        curvature = max(_CURVATURE * float((rate * (1 - rate)).mean()), _JITTER)
        weight_units = 1 / np.sqrt(curvature * spread + penalty)
        units = np.concatenate([np.tile(weight_units, labels), np.full(labels, 1 / np.sqrt(curvature))])

    def mean_loss(flat: Array) -> tuple[float, Array]:
        given = flat * units
        weight, bias = given[: labels * width].reshape(labels, width), given[labels * width :]
        logits = Linear(weight.astype(np.float32), bias.astype(np.float32))(features)
        loss, residual = _loss(logits, wanted, problem=problem)
        slope = np.asarray(transposed @ residual, dtype=np.float64).T / rows + penalty * weight
        offsets = residual.sum(axis=0, dtype=np.float64) / rows
        by_unit = np.concatenate([slope.ravel(), offsets])
        by_unit *= units
        return loss + penalty / 2 * float(np.vdot(weight, weight)), by_unit

    first = np.zeros(labels * (width + 1)) if start is None else np.concatenate([start.weight.ravel(), start.bias])
    options = {"maxiter": _MOST_STEPS, "gtol": gradient, "ftol": 0.0, "maxcor": _CORRECTIONS}
    found = minimize(mean_loss, first.astype(np.float64) / units, jac=True, method="L-BFGS-B", options=options)
    flat = found.x * units
    weight = flat[: labels * width].reshape(labels, width)
    return Linear(weight.astype(np.float32), flat[labels * width :].astype(np.float32))


def _loss(logits: Array, wanted: Array, *, problem: Problem) -> tuple[float, Array]:
    """The mean over rows of the cross-entropy, of the labels' sum where any may be right; and its gradient by the
    logits times the number of rows, (rows, labels)."""
    right = float((logits * wanted).sum(dtype=np.float64))
    if problem == "single_label":
        top = logits.max(axis=1, keepdims=True)
        powers = np.exp(logits - top)
        sums = powers.sum(axis=1, keepdims=True)
        total, probabilities = float((np.log(sums) + top).sum(dtype=np.float64)), powers / sums
    else:
        small = np.exp(-np.abs(logits))
        total = float((np.maximum(logits, 0) + np.log1p(small)).sum(dtype=np.float64))
        probabilities = np.where(logits >= 0, 1, small) / (1 + small)
    return (total - right) / len(logits), probabilities - wanted
