"""How the answers of several models become one: over logits alone, whatever models they come from."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from tunery.data.metrics import Floats, finite, log_softmax, sigmoid
from tunery.data.task import Logits, Targets, TaskView, Thresholds
from tunery.schema.metrics import Direction

Rows = NDArray[np.int64]
"""Numbers of the rows that are meant."""

_ROUNDS: Final = 20
"""Members put into a weighted ensemble, each as often as it helps."""
_LEAST: Final = 1e-300
_MOST: Final = 1 - 2.0**-53


class Link(NamedTuple):
    """How a problem's logits and probabilities belong together, all (rows, labels), and what counts as a vote."""

    probabilities: Callable[[Logits], Floats]
    logits: Callable[[Floats], Floats]
    votes: Callable[[Floats, Thresholds | None], Floats]
    """1 where a label is given, else 0; from probabilities and the member's own thresholds."""


def _softmax(logits: Logits) -> Floats:
    found: Floats = np.exp(log_softmax(finite(logits)))
    return found


def _log(probabilities: Floats) -> Floats:
    found: Floats = np.log(np.maximum(probabilities, _LEAST))
    return found


def _one_vote(probabilities: Floats, thresholds: Thresholds | None) -> Floats:
    votes: Floats = np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)]
    return votes


def _sigmoid(logits: Logits) -> Floats:
    return sigmoid(finite(logits))


def _log_odds(probabilities: Floats) -> Floats:
    p = np.clip(probabilities, _LEAST, _MOST)
    found: Floats = np.log(p) - np.log1p(-p)
    return found


def _votes_by_label(probabilities: Floats, thresholds: Thresholds | None) -> Floats:
    return (probabilities >= np.array(thresholds)).astype(np.float64)


LINKS: Final[Mapping[str, Link]] = {
    "single_label": Link(_softmax, _log, _one_vote),
    "multi_label": Link(_sigmoid, _log_odds, _votes_by_label),
}


@final
@dataclass(frozen=True)
class Blend:
    """What was chosen for an ensemble: with it and the members' logits, the ensemble answers."""

    weights: tuple[float, ...]
    """Of the members; they sum to 1."""
    cuts: tuple[Thresholds | None, ...] | None
    """Every member's own thresholds, by which it votes; None where nobody votes."""

    def __call__(self, logits: Sequence[Logits], *, problem: str) -> Logits:
        """The ensemble's logits (rows, labels) from those of each member, in their order.

        Votes are counted with the mean probability as one more vote, which is never a whole one and so only decides
        where as many are for as against.
        """
        link = LINKS[problem]
        each = [link.probabilities(part) for part in logits]
        mean = sum((weight * part for weight, part in zip(self.weights, each, strict=True)), np.zeros_like(each[0]))
        if self.cuts is None:
            return link.logits(mean)
        votes = sum((link.votes(p, cut) for p, cut in zip(each, self.cuts, strict=True)), np.zeros_like(mean))
        return link.logits((votes + mean) / (len(each) + 1))

    @classmethod
    def even(cls, members: int, cuts: tuple[Thresholds | None, ...] | None = None) -> "Blend":
        """Equal weights."""
        return cls((1 / members,) * members, cuts)

    def only(self, places: Sequence[int]) -> "Blend":
        """The same of some members, those that are left out having no weight."""
        cuts = None if self.cuts is None else tuple(self.cuts[place] for place in places)
        return Blend(tuple(self.weights[place] for place in places), cuts)


@final
@dataclass(frozen=True)
class Yardstick:
    """Judges logits of the validation rows by the objective."""

    task: TaskView
    targets: Targets
    objective: str
    direction: Direction

    @property
    def problem(self) -> str:
        """Key of `LINKS`."""
        return self.task.head().problem

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.direction == "maximize" else -1

    def thresholds(self, logits: Logits, rows: Rows) -> Thresholds | None:
        """Thresholds tuned on some rows."""
        return self.task.calibrate(logits[rows], self.targets[rows])

    def value(self, logits: Logits, rows: Rows, *, tuned_on: Rows | None = None) -> float | None:
        """The objective on some rows; None where it is undefined.

        Args:
            tuned_on: rows that thresholds are tuned on; by default each part of the rows has those of the others.
        """
        if tuned_on is None:
            return self.task.tuned_metrics(logits[rows], self.targets[rows])[self.objective]  # type: ignore[no-any-return]
        cuts = self.thresholds(logits, tuned_on)
        found: float | None = self.task.metrics(logits[rows], self.targets[rows], thresholds=cuts)[self.objective]
        return found

    def merit(self, logits: Logits, rows: Rows) -> float:
        """What choosing goes by: more is better, and what is undefined is worst."""
        value = self.value(logits, rows)
        return -math.inf if value is None else self.sign * value


Choose = Callable[[Sequence[Logits], Yardstick, Rows], Blend]
"""Logits of the members on all rows, and the rows that may be looked at."""


def _mean(logits: Sequence[Logits], yardstick: Yardstick, rows: Rows) -> Blend:
    return Blend.even(len(logits))


def _weighted(logits: Sequence[Logits], yardstick: Yardstick, rows: Rows) -> Blend:
    link = LINKS[yardstick.problem]
    each = [link.probabilities(part) for part in logits]
    return Blend(selected(each, lambda mixed: yardstick.merit(link.logits(mixed), rows)), None)


def _vote(logits: Sequence[Logits], yardstick: Yardstick, rows: Rows) -> Blend:
    return Blend.even(len(logits), tuple(yardstick.thresholds(part, rows) for part in logits))


BLENDS: Final[Mapping[str, Choose]] = {"mean": _mean, "weighted": _weighted, "vote": _vote}


def selected(each: Sequence[Floats], merit: Callable[[Floats], float]) -> tuple[float, ...]:
    """Weights that sum to 1: of 20 rounds, each of which puts in once more whichever member makes the mean best, those
    after the best round.

    Ensemble selection with replacement (Caruana et al. 2004, section 2); of equals the first.
    """
    counts, total = np.zeros(len(each)), np.zeros_like(each[0])
    best, weights = -math.inf, Blend.even(len(each)).weights
    for size in range(1, _ROUNDS + 1):
        merits = [merit((total + part) / size) for part in each]
        place = int(np.argmax(merits))
        total, counts[place] = total + each[place], counts[place] + 1
        if merits[place] > best:
            best, weights = merits[place], tuple((counts / size).tolist())
    return weights
