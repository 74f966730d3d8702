"""What probabilities by models that have not seen the rows say of labels and texts as such: labels that are not told
apart, and texts that say nothing about their label."""

from itertools import combinations
from typing import Final, NamedTuple

import numpy as np

from tunery.data.label_doubts import Floats, Ints, Labels

LEVEL_95: Final = 1.96
POOR: Final = 0.8
"""Area under the ROC curve above which labels may still be told apart: where the upper end of the interval is beyond
it, the rows are too few to say that they are not."""
LEAST: Final = 10
"""Rows of each of two labels, without the other, from which they are compared."""
NOTHING: Final = 0.01
"""Of what there is to be known of a label, the share up to which a text is said to tell nothing."""
_SMALL: Final = 1e-12


class Pair(NamedTuple):
    """Two labels that are not told apart."""

    first: int
    second: int
    area: float
    """Under the ROC curve: how often a row of one is given more of it than a row of the other; 1/2 is chance."""
    low: float
    high: float
    """95 % interval."""


def indistinct_labels(probabilities: Floats, labels: Labels, folds: Ints) -> list[Pair]:
    """Pairs of labels that the models tell apart no better than chance, the worst first.

    Rows that have one of both, ten or more of each, are ordered by the log ratio of the two probabilities. A pair is
    named where the 95 % interval of the area under the ROC curve (Hanley & McNeil 1982, Radiology 143, equations 1 and
    2) holds 1/2 and ends below 0.8: rows that are too few for that say nothing.

    Args:
        probabilities: as in `doubtful_labels`, and so are the others.
    """
    known = folds >= 0
    logs = np.log(np.maximum(probabilities[known], _SMALL))
    has = _indicators(labels[known], probabilities.shape[1])
    rows_of, pairs = [np.flatnonzero(column) for column in has.T], []
    for first, second in combinations(range(has.shape[1]), 2):
        one, other = (rows_of[a][~has[rows_of[a], b]] for a, b in ((first, second), (second, first)))
        if min(len(one), len(other)) >= LEAST:
            area, half = _area(*(logs[rows, first] - logs[rows, second] for rows in (one, other)))
            if area - half <= 0.5 and area + half < POOR:
                pairs.append(Pair(first, second, area, max(area - half, 0.0), area + half))
    return sorted(pairs, key=lambda pair: pair.area)


def says_nothing(probabilities: Floats, labels: Labels, folds: Ints) -> Ints:
    """Rows whose text tells the models nothing: what they say of the row differs from how often each label occurs by at
    most 5 % of the entropy of these frequencies (Kullback-Leibler divergence, summed over labels where there may be
    several). Ascending.

    Args:
        probabilities: as in `doubtful_labels`, and so are the others.
    """
    known = np.flatnonzero(folds >= 0)
    if not len(known):
        return known
    several = labels.ndim == 2
    frequency = _indicators(labels, probabilities.shape[1]).mean(axis=0)
    divergence, entropy = _divergence(probabilities[known], frequency, several=several), 0.0
    for share in (frequency, 1 - frequency) if several else (frequency,):
        entropy -= float((share * np.log(np.maximum(share, _SMALL))).sum())
    return known[divergence <= NOTHING * entropy] if entropy > 0 else known[:0]


def _indicators(labels: Labels, count: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """(rows, labels)"""
    return labels > 0 if labels.ndim == 2 else labels[:, None] == np.arange(count)


def _divergence(probabilities: Floats, frequency: Floats, *, several: bool) -> Floats:
    """In nats, (rows,)."""
    p, q = np.clip(probabilities, _SMALL, 1.0), np.clip(frequency, _SMALL, 1.0)
    terms = p * np.log(p / q)
    if several:
        absent, rest = np.clip(1 - probabilities, _SMALL, 1.0), np.clip(1 - frequency, _SMALL, 1.0)
        terms = terms + absent * np.log(absent / rest)
    total: Floats = terms.sum(axis=1)
    return total


def _area(higher: Floats, lower: Floats) -> tuple[float, float]:
    """The area under the ROC curve, ties one half, and 1.96 standard errors of it."""
    ordered = np.sort(lower)
    below, upto = (np.searchsorted(ordered, higher, side=side) for side in ("left", "right"))
    area = float((below + upto).mean() / 2 / len(lower))
    a, b = len(higher), len(lower)
    both, other = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (a - 1) * (both - area**2) + (b - 1) * (other - area**2)) / (a * b)
    return area, LEVEL_95 * float(np.sqrt(max(variance, 0.0)))
