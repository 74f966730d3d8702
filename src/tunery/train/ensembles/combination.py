"""Which ensemble of models that give labels is chosen: over their logits alone, whatever models they come from."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from tunery.data.metrics import Floats
from tunery.data.row_table import RowTable
from tunery.schema.results.direction import Direction, minimized
from tunery.tasks.combine import Combiner, Logits
from tunery.tasks.task import State, Task

Rows = NDArray[np.int64]
"""Numbers of the rows that are meant."""

_ROUNDS: Final = 20
"""Members put into a weighted ensemble, each as often as it helps."""


@final
@dataclass(frozen=True)
class Blend:
    """What was chosen for an ensemble: with it and the members' logits, the ensemble answers."""

    weights: tuple[float, ...]
    """Of the members; they sum to 1."""
    cuts: tuple[tuple[float, ...] | None, ...] | None
    """Every member's own thresholds, by which it votes; None where nobody votes."""

    def __call__(self, logits: Sequence[Logits], *, combiner: Combiner) -> Logits:
        """The ensemble's logits (rows, labels) from those of each member, in their order.

        Votes are counted with the mean probability as one more vote, which is never a whole one and so only decides
        where as many are for as against.
        """
        each = [combiner.probabilities(part) for part in logits]
        mean = sum((weight * part for weight, part in zip(self.weights, each, strict=True)), np.zeros_like(each[0]))
        if self.cuts is None:
            return combiner.logits(mean)
        votes = sum((combiner.votes(p, cut) for p, cut in zip(each, self.cuts, strict=True)), np.zeros_like(mean))
        return combiner.logits((votes + mean) / (len(each) + 1))

    @classmethod
    def even(cls, members: int, cuts: tuple[tuple[float, ...] | None, ...] | None = None) -> "Blend":
        """Equal weights."""
        return cls((1 / members,) * members, cuts)

    def only(self, places: Sequence[int]) -> "Blend":
        """The same of some members, those that are left out having no weight."""
        cuts = None if self.cuts is None else tuple(self.cuts[place] for place in places)
        return Blend(tuple(self.weights[place] for place in places), cuts)


@final
@dataclass(frozen=True)
class Judge:
    """Scores answers about the validation rows by the objective."""

    task: Task
    truth: RowTable
    objective: str
    direction: Direction

    def state(self, answers: RowTable, rows: Rows) -> State | None:
        """What the task fits on some rows."""
        return self.task.fit_state(answers.take(rows), self.truth.take(rows))

    def value(self, answers: RowTable, rows: Rows, *, fitted_on: Rows | None = None) -> float | None:
        """The objective on some rows; None where it is undefined.

        Args:
            fitted_on: rows that the task's state is fitted on; by default each part of the rows has that of the others.
        """
        some, truth = answers.take(rows), self.truth.take(rows)
        if fitted_on is None:
            metrics = self.task.fitted_score(some, truth)
        else:
            metrics = self.task.score(some, truth, self.state(answers, fitted_on))
        value: float | None = metrics[self.objective]
        return value

    def merit(self, answers: RowTable, rows: Rows) -> float:
        """What choosing goes by: more is better, and what is undefined is worst."""
        value = self.value(answers, rows)
        return -math.inf if value is None else -minimized(value, self.direction)


Choose = Callable[[Sequence[Logits], Judge, Rows, Combiner], Blend]
"""Logits of the members on all rows, and the rows that may be looked at."""


def _mean(logits: Sequence[Logits], judge: Judge, rows: Rows, combiner: Combiner) -> Blend:
    return Blend.even(len(logits))


def _weighted(logits: Sequence[Logits], judge: Judge, rows: Rows, combiner: Combiner) -> Blend:
    each = [combiner.probabilities(part) for part in logits]

    def merit(mixed: Floats) -> float:
        return judge.merit(RowTable({"logits": combiner.logits(mixed)}), rows)

    return Blend(selected(each, merit), None)


def _vote(logits: Sequence[Logits], judge: Judge, rows: Rows, combiner: Combiner) -> Blend:
    states = [judge.state(RowTable({"logits": part}), rows) for part in logits]
    return Blend.even(len(logits), tuple(None if state is None else tuple(state["thresholds"]) for state in states))


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
