"""How far differences of scores carry: intervals over seeds and test rows, a paired test, Holm's correction."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit  # scipy.stats takes a third of a second, in every run

Values = NDArray[np.float64]

LEVEL = 0.05


@dataclass(frozen=True)
class Score:
    """What one run reached on test."""

    value: float
    without_block: tuple[float | None, ...] = ()
    """The same without each block of test rows in turn; the blocks are the same for all runs, or there are none."""


class Paired(NamedTuple):
    """One method against another."""

    difference: float
    low: float | None
    high: float | None
    p_value: float | None


def pseudo_values(scores: Sequence[Score]) -> Values:
    """What each block of test rows contributes to each score, (scores, blocks).

    Jackknife pseudo-values `G v - (G - 1) v_g` (Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter
    11), moved so that their mean is the score itself. A block without which any of the scores is undefined is left
    out; where the scores know no common blocks, there are zero columns.
    """
    values = np.array([score.value for score in scores])
    groups = {len(score.without_block) for score in scores}
    if len(groups) != 1:
        return np.empty((len(scores), 0))
    (count,) = groups
    rows = [[math.nan if v is None else v for v in score.without_block] for score in scores]
    without = np.array(rows, dtype=np.float64).reshape(len(scores), count)
    without = without[:, np.isfinite(without).all(axis=0)]
    if without.shape[1] < 2:
        return np.empty((len(scores), 0))
    pseudo: Values = count * values[:, None] - (count - 1) * without
    moved: Values = pseudo - pseudo.mean(axis=1, keepdims=True) + values[:, None]
    return moved


def mean_interval(scores: Sequence[Score], *, level: float = LEVEL, draws: int = 10_000) -> tuple[float, float] | None:
    """Bootstrap interval of the mean score: seeds and blocks of rows are drawn anew, independently.

    Percentiles of `draws` from a fixed seed (two-way resampling: Owen 2007, The pigeonhole bootstrap), stretched
    about the mean: a bootstrap of three seeds is too narrow by itself, because it divides by n and knows no Student's t
    (Hesterberg 2015, The American Statistician 69). None with one seed and no blocks, which say nothing
    about spread; with one seed the interval is about the choice of test rows alone.
    """
    blocks = pseudo_values(scores)
    values = np.array([score.value for score in scores])
    table = blocks if blocks.shape[1] else values[:, None]
    if table.size < 2:
        return None
    mean, (variance, freedom) = float(values.mean()), _spread(values, blocks.mean(axis=0))
    if variance == 0.0:
        return mean, mean
    rng = np.random.default_rng(0)
    seeds, blocks = (_weights(rng, count, draws) for count in table.shape)
    means = np.einsum("ds,sg,dg->d", seeds, table, blocks, optimize=True)
    tail = 1 - level / 2
    stretch = float(stdtrit(freedom, tail) / ndtri(tail) * math.sqrt(variance) / means.std())
    low, high = np.quantile(means, [1 - tail, tail])
    return mean + stretch * float(low - mean), mean + stretch * float(high - mean)


def _weights(rng: np.random.Generator, count: int, draws: int) -> Values:
    """How often each of `count` things is drawn, as shares, (draws, count)."""
    drawn: Values = rng.multinomial(count, np.full(count, 1 / count), size=draws) / count
    return drawn


def paired_test(scores: Sequence[Score], others: Sequence[Score], *, level: float = LEVEL) -> Paired:
    """The mean difference over pairs of runs (same seed, same test rows), its interval and its two-sided p value.

    The variance of the mean difference is what the seeds add, `s^2 / S`, plus what the choice of test rows adds: the
    block jackknife's variance of the difference averaged over seeds. The statistic is compared with Student's t with
    the degrees of freedom of Welch and Satterthwaite (Satterthwaite 1946, Biometrics Bulletin 2). Noise that belongs
    to a seed and a row together is counted in both parts, so the test errs on the careful side. Without blocks it is
    the ordinary paired t test. With one pair there is no test.
    """
    differences = np.array([score.value - other.value for score, other in zip(scores, others, strict=True)])
    mean, seeds = float(differences.mean()), len(differences)
    if seeds < 2:
        return Paired(mean, None, None, None)
    blocks = pseudo_values([*scores, *others])
    by_block = (blocks[:seeds] - blocks[seeds:]).mean(axis=0)
    variance, freedom = _spread(differences, by_block)
    if variance == 0.0:
        return Paired(mean, mean, mean, 1.0 if mean == 0.0 else 0.0)
    reach = float(stdtrit(freedom, 1 - level / 2)) * math.sqrt(variance)
    p_value = float(2 * stdtr(freedom, -abs(mean) / math.sqrt(variance)))
    return Paired(mean, mean - reach, mean + reach, p_value)


def difference_interval(score: Score, other: Score, *, level: float = LEVEL) -> tuple[float, float] | None:
    """The interval of a difference between two runs over the same test rows, as far as the choice of these rows goes:
    that of the block jackknife (`pseudo_values`) with Student's t. None where there are no common blocks."""
    ours, theirs = pseudo_values([score, other])
    by_block = ours - theirs
    if len(by_block) < 2:
        return None
    reach = float(stdtrit(len(by_block) - 1, 1 - level / 2) * by_block.std(ddof=1)) / math.sqrt(len(by_block))
    return float(by_block.mean()) - reach, float(by_block.mean()) + reach


def cross_validation_interval(score: Score, *, folds: int, level: float = LEVEL) -> tuple[float, float] | None:
    """The interval of a score over all rows of a cross-validation. None where it knows no blocks.

    The variance is that of the block jackknife, times 1 + k / (k - 1): models of k folds share most of their training
    rows, so that their errors do not vary independently, and Nadeau & Bengio 2003 (Machine Learning 52, section 3)
    replace 1/k in the variance of a mean over folds by 1/k + 1/(k - 1).
    """
    (by_block,) = pseudo_values([score])
    if len(by_block) < 2:
        return None
    variance = float(by_block.var(ddof=1)) / len(by_block) * (1 + folds / (folds - 1))
    reach = float(stdtrit(len(by_block) - 1, 1 - level / 2)) * math.sqrt(variance)
    return score.value - reach, score.value + reach


def corrected_resampled_test(differences: Sequence[float], *, folds: int, level: float = LEVEL) -> Paired:
    """The mean of differences between two methods, fold by fold, its interval and its two-sided p value.

    The corrected resampled t test (Nadeau & Bengio 2003, Machine Learning 52, section 3; for repeated cross-validation
    Bouckaert & Frank 2004, section 2): of J differences with variance s^2 the mean has the variance
    (1/J + 1/(k - 1)) s^2, because training rows of k folds overlap, and Student's t has J - 1 degrees of freedom.
    """
    values = np.array(differences)
    mean, count = float(values.mean()), len(values)
    if count < 2:
        return Paired(mean, None, None, None)
    variance = float(values.var(ddof=1)) * (1 / count + 1 / (folds - 1))
    if variance == 0.0:
        return Paired(mean, mean, mean, 1.0 if mean == 0.0 else 0.0)
    error = math.sqrt(variance)
    reach = float(stdtrit(count - 1, 1 - level / 2)) * error
    return Paired(mean, mean - reach, mean + reach, float(2 * stdtr(count - 1, -abs(mean) / error)))


def _spread(by_seed: Values, by_block: Values) -> tuple[float, float]:
    """Variance of a mean over seeds and blocks, and its degrees of freedom; one value alone adds nothing."""
    samples = [values for values in (by_seed, by_block) if len(values) > 1]
    variances = [float(values.var(ddof=1)) / len(values) for values in samples]
    variance = sum(variances)
    if variance == 0.0:
        return 0.0, 1.0
    return variance, variance**2 / sum(v**2 / (len(values) - 1) for v, values in zip(variances, samples, strict=True))


def holm(p_values: Mapping[str, float], *, level: float = LEVEL) -> dict[str, bool]:
    """Which of several tests hold together at `level` (Holm 1979, Scandinavian Journal of Statistics 6)."""
    held, order = True, sorted(p_values, key=lambda name: p_values[name])
    by_name: dict[str, bool] = {}
    for rank, name in enumerate(order):
        held = held and p_values[name] <= level / (len(order) - rank)
        by_name[name] = held
    return by_name
