"""How far numbers are from those that are right, in float64. What is undefined is None: a correlation or a share of
variance where all numbers are equal."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tunery.data.metrics import Bools, Floats, Ints, sigmoid

MOST_POINTS: Final = 300
"""Rows of which the record of a split has the right and the given number, to be drawn."""
_DIGITS: Final = 6
"""Significant ones of each of these."""


def number_metrics(answers: Floats, right: Floats, *, order: Floats | None = None) -> dict[str, Any]:
    """`spearman`, `pearson`, `r2`, `mse` and `mae` of numbers, (rows,) each, in the units of the data.

    R2 is 1 - sum (a - r)^2 / sum (r - mean r)^2: 0 for the mean of these rows, below it for what is worse.

    Args:
        order: what is correlated with the right numbers; None: the answers.
    """
    errors = answers - right
    order = answers if order is None else order
    mse, variance = float(np.square(errors).mean()), float(right.var())
    return {
        "spearman": correlation(ranks(order), ranks(right)),
        "pearson": correlation(order, right),
        "r2": 1 - mse / variance if _differ(right) and variance > 0 else None,
        "mse": mse,
        "mae": float(np.abs(errors).mean()),
    }


def correlation(one: Floats, other: Floats) -> float | None:
    """Pearson's; None where one of the two is constant."""
    if not (_differ(one) and _differ(other)):
        return None
    # scaled, so that no square of a tiny or huge number is 0 or infinite
    a, b = (part / np.abs(part).max() for part in (one - one.mean(), other - other.mean()))
    return float(np.clip((a @ b) / math.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def ranks(numbers: Floats) -> Floats:
    """From 1; equal numbers share the mean of their ranks."""
    _, place, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    result: Floats = (last - (counts - 1) / 2)[place]
    return result


def points(answers: Floats, right: Floats) -> list[list[float]]:
    """Pairs of right and given number, of at most 300 rows at equal distances."""
    step = -(-len(right) // MOST_POINTS)
    pairs = zip(right[::step].tolist(), answers[::step].tolist(), strict=True)
    return [[float(f"{number:.{_DIGITS}g}") for number in pair] for pair in pairs]


def conformal_quantile(scores: Floats, coverage: float) -> float | None:
    """The ceil((n + 1) coverage)-th smallest of n scores: a new score from the same distribution is at most this with a
    probability of at least `coverage` (Vovk, Gammerman & Shafer 2005; Lei et al. 2018, arXiv 1604.04173, section 2.2).
    None where n is too small for that."""
    place = math.ceil((len(scores) + 1) * Fraction(str(coverage)))
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else None


def least_rows(coverage: float) -> int:
    """Scores from which there is such a quantile."""
    share = Fraction(str(coverage))
    return math.ceil(share / (1 - share))


def level_probabilities(logits: Floats) -> Floats:
    """Log odds of being above each level but the highest, (rows, levels - 1) -> probability of each level,
    (rows, levels)."""
    above = np.pad(sigmoid(logits), ((0, 0), (1, 1)), constant_values=((0, 0), (1.0, 0.0)))
    result: Floats = np.maximum(above[:, :-1] - above[:, 1:], 0.0)
    return result


def middle_levels(logits: Floats) -> Ints:
    """The level that a row is above with a probability of at most one half, and above the level below with more: the
    median of its distribution, which CORAL answers."""
    result: Ints = (logits > 0).sum(axis=1)
    return result


def masses(probabilities: Floats, start: Ints) -> Floats:
    """The probability of the shortest interval of levels around `start` that holds each level, (rows, levels): it grows
    by whichever neighbour is more probable (ordinal adaptive prediction sets: Lu, Angelopoulos & Pomerantz 2022, arXiv
    2207.02238, algorithm 1)."""
    (rows, levels), each = probabilities.shape, np.arange(len(probabilities))
    padded = np.pad(probabilities, ((0, 0), (1, 1)), constant_values=-1.0)  # no level is beyond the ends
    low, high, mass = start.copy(), start.copy(), probabilities[each, start]
    result = np.empty((rows, levels))
    result[each, start] = mass
    for _ in range(levels - 1):
        below, above = padded[each, low], padded[each, high + 2]
        goes_up: Bools = above > below
        low, high = low - ~goes_up, high + goes_up
        mass = mass + np.where(goes_up, above, below)
        result[each, np.where(goes_up, high, low)] = mass
    return result


def interval_of(mass: Floats, start: Ints, quantile: float) -> tuple[Ints, Ints]:
    """The lowest and the highest level of the interval around `start` whose probability is at most `quantile`; that
    level alone where even it is more probable. mass: of `masses`."""
    inside = mass <= quantile
    inside[np.arange(len(mass)), start] = True
    low: Ints = inside.argmax(axis=1)
    high: Ints = mass.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    return low, high


def interval_metrics(low: npt.NDArray[Any], high: npt.NDArray[Any], right: npt.NDArray[Any]) -> dict[str, float]:
    """`interval_coverage`: the share of rows whose number lies in its interval; `interval_width`: its mean width."""
    return {
        "interval_coverage": float(((low <= right) & (right <= high)).mean()),
        "interval_width": float((high - low).mean()),
    }


NO_INTERVALS: Final[dict[str, float | None]] = {"interval_coverage": None, "interval_width": None}


def spread(numbers: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (of the whole, not of a sample); 1 where all are equal."""
    wide = np.asarray(numbers, dtype=np.float64)
    return float(wide.mean()), float(wide.std()) if _differ(wide) and wide.std() > 0 else 1.0


def _differ(numbers: Floats) -> bool:
    return bool(numbers.min() < numbers.max())
