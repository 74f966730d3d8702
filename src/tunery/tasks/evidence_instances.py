"""What metrics of evidence are averaged over: texts with one of their labels, or texts where labels exclude each
other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from tunery.data.evidence_metrics import InstanceStatistics, instance_statistics
from tunery.data.metrics import Bools, Floats, Ints, finite, sigmoid
from tunery.data.row_table import RowTable
from tunery.data.units import Bounds
from tunery.tasks.evidence_thresholds import Instance, Thresholds, marked_units


class Pair(NamedTuple):
    """A text and one of its labels."""

    row: int
    label: int


@dataclass(frozen=True)
class Decision:
    """From when on something is given, for each row."""

    labels: Bools
    """(rows, labels)"""
    evidence: Sequence[Thresholds]
    """Of each row."""


def unit_probabilities(answers: RowTable, pair: Pair) -> Floats:
    """How likely each unit of a text is evidence of a label, (units,)."""
    return sigmoid(finite(answers["units"][pair.row][:, pair.label]))


@final
@dataclass(frozen=True)
class Instances:
    """Those of some rows."""

    truth: RowTable
    """As `CriteriaEvidence.truth` makes it."""
    exclusive: bool
    """Whether labels exclude each other: then a row is an instance, and its evidence is that of whichever label it has,
    compared with the evidence of the label that is given."""

    def pairs(self, given: Bools) -> list[Pair]:
        """Those that have evidence or may get some.

        Args:
            given: which labels are given, (rows, labels).
        """
        if self.exclusive:
            return [Pair(row, int(label)) for row, label in enumerate(given.argmax(axis=1))]
        has_evidence = np.array([gold.any(axis=0) for gold in self.truth["gold"]]).reshape(given.shape)
        return [Pair(int(row), int(label)) for row, label in np.argwhere(has_evidence | given)]

    def labels_of(self, pairs: Sequence[Pair]) -> Ints:
        """The label in whose row of a table each is counted, (pairs,): the true one, where labels exclude each other.

        Args:
            pairs: all of them.
        """
        if self.exclusive:
            true: Ints = self.truth["labels"].argmax(axis=1)
            return true
        return np.array([pair.label for pair in pairs], dtype=np.int64)

    def to_tune(self, answers: RowTable, given: Bools) -> list[Instance]:
        """What thresholds of evidence are found on."""
        return [
            Instance(
                probabilities=unit_probabilities(answers, pair),
                unit=self.truth["unit"][pair.row],
                gold=self._gold(pair),
                is_given=bool(given[pair]),
            )
            for pair in self.pairs(given)
        ]

    def statistics(self, answers: RowTable, decision: Decision, pairs: Sequence[Pair]) -> InstanceStatistics:
        """Of `pairs`, then of all texts and labels that neither have evidence nor get any."""
        truth, marked, scores = self.truth, [], []
        for pair in pairs:
            probabilities, unit = unit_probabilities(answers, pair), truth["unit"][pair.row]
            marks = marked_units(probabilities, decision.evidence[pair.row]) & decision.labels[pair]
            marked.append(marks[unit])
            scores.append(probabilities[unit])
        statistics = instance_statistics(
            [self._gold(pair) for pair in pairs],
            marked,
            scores,
            [truth["bounds"][row] for row, _ in pairs],
            [truth["sentence"][row] for row, _ in pairs],
            [self._spans(pair) for pair in pairs],
            merge=True,
        )
        return statistics.with_empty(0 if self.exclusive else truth["labels"].size - len(pairs))

    def _gold(self, pair: Pair) -> Bools:
        """Which words are evidence, (words,)."""
        gold: Bools = self.truth["gold"][pair.row]
        return np.logical_or.reduce(gold, axis=1, dtype=np.bool_) if self.exclusive else gold[:, pair.label]

    def _spans(self, pair: Pair) -> Bounds:
        spans: Ints = self.truth["spans"][pair.row]
        return spans[:, :2] if self.exclusive else spans[spans[:, 2] == pair.label, :2]
