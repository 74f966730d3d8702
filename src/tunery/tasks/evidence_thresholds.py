"""Probabilities from which something is evidence: how they decide, and how they are found on validation."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from tunery.data.metrics import Bools, Floats, Ints
from tunery.schema.config.task import EvidenceDecision
from tunery.tasks.thresholds import UNTUNED

_CUTS: Final = 48
_NULL_CUTS: Final = 12


class Thresholds(NamedTuple):
    """Probabilities."""

    null_threshold: float
    """Of the likeliest unit, below which there is no evidence."""
    min_span_score: float
    """From which a unit is evidence."""


class Instance(NamedTuple):
    """A text and one of its labels."""

    probabilities: Floats
    """Of being evidence, (units,)."""
    unit: Ints
    """The unit of each word, (words,)."""
    gold: Bools
    """Which words are evidence, (words,)."""
    is_given: bool
    """Whether the text gets the label; without it, it gets no evidence."""


def untuned(decision: EvidenceDecision) -> Thresholds:
    """Those of a config; one half where it leaves them to validation."""
    given = (decision.null_threshold, decision.min_span_score)
    return Thresholds(*(UNTUNED if isinstance(value, str) else value for value in given))


def marked_units(probabilities: Floats, thresholds: Thresholds) -> Bools:
    """Which units are evidence, (units,)."""
    is_null = not len(probabilities) or probabilities.max() < thresholds.null_threshold
    return np.zeros(len(probabilities), np.bool_) if is_null else probabilities >= thresholds.min_span_score


def tuned_evidence(instances: Sequence[Instance], decision: EvidenceDecision) -> Thresholds:
    """Those with the highest token F1, the mean over instances that have evidence or get some. Both are chosen
    together, among quantiles of the probabilities; of equally good ones those nearest one half."""
    asked = [instance for instance in instances if instance.is_given and len(instance.gold)]
    if not asked:
        return untuned(decision)
    cuts = _candidates(np.concatenate([each.probabilities for each in asked]), decision.min_span_score, _CUTS)
    best = np.array([each.probabilities.max() for each in asked])
    nulls = _candidates(best, decision.null_threshold, _NULL_CUTS)
    marks, hits, evidence = np.zeros((len(asked), len(cuts))), np.zeros((len(asked), len(cuts))), np.zeros(len(asked))
    for number, each in enumerate(asked):
        of_words = each.probabilities[each.unit]
        marks[number] = _at_least(of_words, cuts)
        hits[number] = _at_least(of_words[each.gold], cuts)
        evidence[number] = each.gold.sum()
    f1 = 2 * hits / np.maximum(marks + evidence[:, None], 1)
    missed = sum(bool(each.gold.any()) for each in instances) - int((evidence > 0).sum())
    values = np.zeros((len(nulls), len(cuts)))
    for index, null in enumerate(nulls):
        is_marked = (marks > 0) & (best >= null)[:, None]
        counted = (is_marked | (evidence > 0)[:, None]).sum(axis=0) + missed
        values[index] = np.where(is_marked, f1, 0.0).sum(axis=0) / np.maximum(counted, 1)
    highest = np.argwhere(values >= values.max() - 1e-12)
    distance = np.abs(nulls[highest[:, 0]] - 0.5) + np.abs(cuts[highest[:, 1]] - 0.5)
    null_index, cut_index = highest[distance.argmin()]
    return Thresholds(float(nulls[null_index]), float(cuts[cut_index]))


def _candidates(probabilities: Floats, fixed: float | str, count: int) -> Floats:
    """Thresholds to try: the fixed one, or quantiles of what is there."""
    if not isinstance(fixed, str):
        return np.array([fixed])
    return np.unique(np.quantile(probabilities, np.linspace(0.02, 1.0, count)))


def _at_least(values: Floats, cuts: Floats) -> Ints:
    """How many are as high as each cut, (cuts,)."""
    return len(values) - np.searchsorted(np.sort(values), cuts, side="left")
