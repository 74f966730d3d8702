"""Which labels of rows are doubtful, by probabilities of models that have not seen the rows: confident learning
(Northcutt, Jiang & Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70, arXiv
1911.00068).

A label is confident where its probability reaches the mean that it has in rows labelled so. The rows of each label by
the label that is confident in them are the confident joint (equation 1). From it follows how many labels are wrong, and
which they probably are (section 3.2).
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Labels = npt.NDArray[Any]
"""int64 (rows,), one label of several; or 0 and 1, (rows, labels), where any number may be right."""

FAR: Final = 3.5
"""Modified z-score from which a number is doubtful (Iglewicz & Hoaglin 1993, "How to Detect and Handle Outliers")."""
_SURE: Final = 2.0
"""Standard errors."""
_SMALL: Final = 1e-12
_MAD_OF_NORMAL: Final = 0.6745
"""Median of the absolute deviations of a normal distribution with standard deviation 1."""


class Doubts(NamedTuple):
    """Labels that are probably wrong, the most doubtful first: each field (doubts,)."""

    rows: Ints
    labels: Ints
    """Where rows have one label, the one given; where they have several, a label that the row has or lacks."""
    suggested: Ints
    """Where rows have one label, the most probable other one; where they have several, 1 where the row should have the
    label, else 0."""
    given_probability: Floats
    suggested_probability: Floats


def doubtful_labels(probabilities: Floats, labels: Labels, folds: Ints) -> Doubts:
    """Labels to look at: those that pruning by class and by noise rate both name (section 3.2.2, "C + NR"), as far as
    another label is more probable, ordered by the normalised margin: the probability of the given label minus that of
    the most probable other one. Where rows have several labels, each label against its absence is a problem of its own,
    as far as the models know more of it than how often it occurs (`informed_labels`): where they do not, they call any
    rare label doubtful.

    Args:
        probabilities: (rows, labels), each row by a model that was not fitted to it.
        folds: the fold of each row, (rows,); rows of fold -1 have no such model, and are not looked at.
    """
    known = np.flatnonzero(folds >= 0)
    p, given = probabilities[known].astype(np.float64), labels[known]
    if given.ndim == 1:
        found = _wrong(p, given.astype(np.int64))
        named = given[found].astype(np.int64)
        doubts = _ranked(p[found], named, _best_other(p[found], named))
        return doubts._replace(rows=known[found[doubts.rows]])
    columns, places, pairs = [], [], []
    for label in informed_labels(probabilities, labels, folds).tolist():
        both = np.stack([1 - p[:, label], p[:, label]], axis=1)
        found = _wrong(both, (given[:, label] > 0).astype(np.int64))
        places.append(found)
        columns.append(np.full(len(found), label, dtype=np.int64))
        pairs.append(both[found])
    none = np.zeros(0, dtype=np.int64)
    rows, column = np.concatenate([none, *places]), np.concatenate([none, *columns])
    has = (given[rows, column] > 0).astype(np.int64)
    doubts = _ranked(np.concatenate([np.zeros((0, 2)), *pairs]), has, 1 - has)
    return doubts._replace(rows=known[rows[doubts.rows]], labels=column[doubts.rows])


def informed_labels(probabilities: Floats, labels: Labels, folds: Ints) -> Ints:
    """Numbers of the labels of which the models know more than how often they occur: all or none where rows have one
    label. The mean gain in log loss over the frequencies has to be more than two standard errors. Ascending.

    Args:
        probabilities: as in `doubtful_labels`, and so are the others.
    """
    known = folds >= 0
    p, given = np.clip(probabilities[known], _SMALL, 1 - _SMALL), labels[known]
    if len(p) < 2:
        return np.zeros(0, dtype=np.int64)
    if given.ndim == 1:
        frequency = np.bincount(given, minlength=p.shape[1]) / len(given)
        gain = (np.log(p[np.arange(len(p)), given]) - np.log(frequency[given]))[:, None]
    else:
        has = given > 0
        frequency = np.clip(has.mean(axis=0), _SMALL, 1 - _SMALL)
        gain = np.where(has, np.log(p) - np.log(frequency), np.log1p(-p) - np.log1p(-frequency))
    is_informed = gain.mean(axis=0) > _SURE * gain.std(axis=0, ddof=1) / np.sqrt(len(gain))
    informed: Ints = np.flatnonzero(np.broadcast_to(is_informed, p.shape[1]))
    return informed


def confident_joint(probabilities: Floats, labels: Ints) -> Ints:
    """Rows of each given label by the label that is confident in them, (labels, labels); of several confident labels
    the most probable counts, and rows without any are in no cell (equation 1)."""
    count = probabilities.shape[1]
    confident = probabilities >= _thresholds(probabilities, labels)
    best = np.where(confident, probabilities, -1.0).argmax(axis=1)
    counted = confident.any(axis=1)
    joint = np.zeros((count, count), dtype=np.int64)
    np.add.at(joint, (labels[counted], best[counted]), 1)
    return joint


def calibrated_joint(joint: Ints, labels: Ints) -> Floats:
    """Estimated rows of each given label by their right label: each line of the confident joint, scaled so that it
    has as many rows as have the label (equation 3, times the rows). A label without a confident row is all right."""
    rows = np.bincount(labels, minlength=len(joint)).astype(np.float64)
    counted = joint.sum(axis=1)
    shares = joint / np.maximum(counted, 1)[:, None]
    shares[counted == 0] = np.eye(len(joint))[counted == 0]
    estimated: Floats = shares * rows[:, None]
    return estimated


def doubtful_numbers(predicted: Floats, given: Floats, folds: Ints) -> Doubts:
    """Rows whose number is farther from the predicted one than those of others: their deviation from the median
    residual is at least 3.5 times what is usual (modified z-score). The farthest first; there are no probabilities.

    Args:
        predicted: (rows,), each by a model that was not fitted to the row.
        given: (rows,)
        folds: as in `doubtful_labels`.
    """
    known = np.flatnonzero(folds >= 0)
    residual = given[known] - predicted[known]
    away = np.abs(residual - np.median(residual)) if len(known) else residual
    usual = float(np.median(away)) if len(known) else 0.0
    far = np.flatnonzero(_MAD_OF_NORMAL * away >= FAR * usual) if usual > 0 else np.zeros(0, dtype=np.int64)
    rows = known[far[np.argsort(-away[far], kind="stable")]]
    none, unknown = np.full(len(rows), -1, dtype=np.int64), np.full(len(rows), np.nan)
    return Doubts(rows, none, none, unknown, unknown)


def _thresholds(probabilities: Floats, labels: Ints) -> Floats:
    """The mean probability of each label in rows that have it, (labels,); of one that no row has, infinite."""
    rows = np.bincount(labels, minlength=probabilities.shape[1])
    own = np.bincount(labels, weights=probabilities[np.arange(len(labels)), labels], minlength=probabilities.shape[1])
    return np.where(rows > 0, own / np.maximum(rows, 1), np.inf)


def _best_other(probabilities: Floats, labels: Ints) -> Ints:
    """The most probable label but the given one, (rows,)."""
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = -1.0
    best: Ints = others.argmax(axis=1)
    return best


def _wrong(probabilities: Floats, labels: Ints) -> Ints:
    """Rows whose label is probably wrong, ascending."""
    if not len(labels):
        return np.zeros(0, dtype=np.int64)
    wrong = calibrated_joint(confident_joint(probabilities, labels), labels)
    np.fill_diagonal(wrong, 0.0)
    by_class, by_rate = np.zeros(len(labels), dtype=np.bool_), np.zeros(len(labels), dtype=np.bool_)
    for label in np.flatnonzero(wrong.sum(axis=1) > 0):
        rows = np.flatnonzero(labels == label)
        own = probabilities[rows, label]
        by_class[rows[np.argsort(own, kind="stable")[: round(wrong[label].sum())]]] = True
        for other in np.flatnonzero(wrong[label] > 0):
            margin = own - probabilities[rows, other]
            by_rate[rows[np.argsort(margin, kind="stable")[: round(wrong[label, other])]]] = True
    least = probabilities[np.arange(len(labels)), labels] < probabilities.max(axis=1)
    return np.flatnonzero(by_class & by_rate & least)


def _ranked(probabilities: Floats, given: Ints, suggested: Ints) -> Doubts:
    """Ordered by the margin between both; `rows` are places in what was given."""
    place = np.arange(len(given))
    p_given, p_suggested = probabilities[place, given], probabilities[place, suggested]
    order = np.argsort(p_given - p_suggested, kind="stable")
    return Doubts(order, given[order], suggested[order], p_given[order], p_suggested[order])
