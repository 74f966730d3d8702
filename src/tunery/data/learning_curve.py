"""A power law through scores at several numbers of training rows, and what it says of more rows.

The score at n rows is a - b n^-c (Hestness et al. 2017, arXiv 1712.00409; for few rows Mahmood et al. 2022, arXiv
2207.01725). Four sizes hardly tell its three numbers: what is predicted is therefore drawn from all laws that fit, each
as often as it is probable (Bayesian, with flat priors on what can be seen, the score at the largest size and the gain
from half of it, and a prior of small exponents).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SHARES: Final = (1 / 8, 1 / 4, 1 / 2, 1.0)
"""Of the training rows."""
EXPONENTS: Final = (0.05, 2.5)
"""Least and largest c."""
USUAL: Final = 0.2
"""Mean of the prior of c, an exponential distribution: Hestness et al. found 0.07 to 0.35. Scores of small parts are
a little too good, since each part has its share of every label, which flattens the curve: without a prior, predictions
were too low."""
_STEPS: Final = 50
_DRAWS: Final = 20_000
_LEVEL: Final = 0.95
SURE: Final = 2.0
"""Standard errors by which the score has to rise before anything is predicted."""
TOO_WIDE: Final = 2.0
"""Width of an interval, as a multiple of the gain from the smallest size to the largest, from which it says nothing."""
_MISFIT: Final = 3.84
"""Squared distance of scores from the nearest law, in standard errors, that chance exceeds once in 20 times: four
sizes, three numbers."""
_SMALL: Final = 1e-12


class Predicted(NamedTuple):
    """The score that so many rows give."""

    rows: float
    score: float
    low: float
    high: float
    """95 % interval."""
    says_something: bool


@dataclass(frozen=True)
class PowerLaws:
    """All that fit, as draws: (draws,) each."""

    largest: float
    """Rows of the largest size."""
    score: Floats
    """At the largest size; more is better."""
    gain: Floats
    """From half of it."""
    exponent: Floats
    """c"""
    seen: float
    """Gain from the smallest size to the largest, as it was measured."""
    rises: bool
    """Whether that is more than its uncertainty."""
    fits: bool
    """Whether some law is as near to the scores as chance allows; where gains grow with the rows, none is."""

    def at(self, rows: float) -> Predicted:
        """What so many rows give."""
        scores = self.score - self.gain * missing(rows / self.largest, self.exponent)
        tail = (1 - _LEVEL) / 2
        low, high = np.quantile(scores, [tail, 1 - tail])
        says = bool(self.rises and self.fits and high - low <= TOO_WIDE * self.seen)
        return Predicted(rows, float(np.median(scores)), float(low), float(high), says)


def missing(times: Floats | float, exponent: Floats | float) -> Floats:
    """What the score lacks at so many times the largest size, in gains from half of it: 1 at one half, 0 at 1, and
    below 0 beyond."""
    lacks: Floats = (np.asarray(times) ** -np.asarray(exponent) - 1) / (2 ** np.asarray(exponent) - 1)
    return lacks


def fit_power_laws(
    sizes: Sequence[float], scores: Floats, covariance: Floats, *, best: float | None = 1.0
) -> PowerLaws:
    """Laws that rise, to no more than the best score that there is.

    For every exponent the two other numbers are those of generalised least squares, with their uncertainty; exponents
    weigh as much as the scores are probable under them.

    Args:
        sizes: rows, ascending, two sizes or more.
        scores: at these sizes, (sizes,); more is better.
        covariance: of the errors of the scores, (sizes, sizes).
        best: no score is better; None: there is no such bound.
    """
    rows, generator = np.asarray(sizes, dtype=np.float64), np.random.default_rng(0)
    ridge = _SMALL + 1e-6 * float(np.trace(covariance)) / len(rows)
    precision = np.linalg.inv(covariance + ridge * np.eye(len(rows)))
    exponents = np.linspace(*EXPONENTS, _STEPS)
    found, logs, distances = [], [], []
    for exponent in exponents:
        design = np.stack([np.ones(len(rows)), -missing(rows / rows[-1], exponent)], axis=1)
        spread = np.linalg.inv(design.T @ precision @ design)
        middle = spread @ design.T @ precision @ scores
        off = scores - design @ middle
        found.append((middle, spread))
        distances.append(float(off @ precision @ off))
        logs.append(-0.5 * distances[-1] + 0.5 * float(np.linalg.slogdet(spread)[1]) - exponent / USUAL)
    weights = np.exp(np.array(logs) - max(logs))
    chosen = generator.choice(len(exponents), size=_DRAWS, p=weights / weights.sum())
    drawn = np.empty((_DRAWS, 2))
    for number, (middle, spread) in enumerate(found):
        here = chosen == number
        drawn[here] = generator.multivariate_normal(middle, spread, size=int(here.sum()))
    score, gain, exponent = drawn[:, 0], drawn[:, 1], exponents[chosen]
    allowed = gain >= 0
    if best is not None:
        allowed &= score + gain / (2**exponent - 1) <= best
    if not allowed.any():
        allowed, gain = np.ones(_DRAWS, dtype=np.bool_), np.zeros(_DRAWS)
    seen = float(scores[-1] - scores[0])
    error = float(np.sqrt(max(covariance[0, 0] + covariance[-1, -1] - 2 * covariance[0, -1], 0.0)))
    return PowerLaws(
        largest=float(rows[-1]),
        score=score[allowed],
        gain=gain[allowed],
        exponent=exponent[allowed],
        seen=seen,
        rises=seen > SURE * error,
        fits=min(distances) < _MISFIT,
    )


def nested_order(kinds: npt.NDArray[np.int64], generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Rows in an order of which every beginning has its share of every kind, (rows,).

    Args:
        kinds: of each row, (rows,).
    """
    shuffled = generator.permutation(len(kinds))
    by_kind = shuffled[np.argsort(kinds[shuffled], kind="stable")]
    _, start, count = np.unique(kinds[by_kind], return_index=True, return_counts=True)
    within = np.arange(len(kinds)) - np.repeat(start, count)
    share = (within + np.repeat(generator.random(len(count)), count)) / np.repeat(count, count)
    order: npt.NDArray[np.int64] = by_kind[np.argsort(share, kind="stable")]
    return order


def jackknife_covariance(without_block: Floats) -> Floats:
    """Covariance of scores from what they are without each block of rows in turn, (blocks, scores) -> (scores, scores):
    delete-a-group jackknife (Efron & Tibshirani 1993, chapter 11)."""
    off = without_block - without_block.mean(axis=0)
    covariance: Floats = (len(without_block) - 1) / len(without_block) * off.T @ off
    return covariance
