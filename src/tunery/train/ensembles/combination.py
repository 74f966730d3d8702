"""Which ensemble of models is chosen: over their logits or numbers alone, whatever models they come from."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from tunery.data.metrics import Floats
from tunery.data.row_table import RowTable
from tunery.errors import ModelError
from tunery.schema.results.direction import Direction, minimized
from tunery.tasks.combine import Combiner, Logits
from tunery.tasks.task import State, Task

Rows = NDArray[np.int64]
"""Numbers of the rows that are meant."""

_ROUNDS: Final = 20
"""Members put into a weighted ensemble, each as often as it helps."""


def combiner_of(task: Task, kind: str, *, remedy: str) -> Combiner:
    """How answers of several models of a task become one.

    Args:
        kind: `task.kind` of the config.

    Raises:
        ModelError: they cannot; the message ends with the remedy.
    """
    if task.combiner is None:
        raise ModelError(f"answers of several models of task {kind!r} cannot become one; {remedy}")
    return task.combiner


@final
@dataclass(frozen=True)
class Combination:
    """What was chosen for an ensemble: with it and the members' logits, the ensemble answers."""

    weights: tuple[float, ...]
    """Of the members; they sum to 1."""
    thresholds: tuple[tuple[float, ...] | None, ...] | None
    """Every member's own thresholds, by which it votes; None where the members do not vote."""

    def __call__(self, logits: Sequence[Logits], *, combiner: Combiner) -> Logits:
        """The ensemble's logits (rows, labels) from those of each member, in their order.

        Votes are counted with the mean probability as one more vote, which is never a whole one and so only decides
        where as many are for as against.
        """
        each = [combiner.probabilities(member) for member in logits]
        zero = np.zeros_like(each[0])
        mean = sum((weight * member for weight, member in zip(self.weights, each, strict=True)), zero)
        if self.thresholds is None or combiner.votes is None:
            return combiner.logits(mean)
        votes = sum((combiner.votes(member, own) for member, own in zip(each, self.thresholds, strict=True)), zero)
        return combiner.logits((votes + mean) / (len(each) + 1))

    @classmethod
    def even(cls, members: int, thresholds: tuple[tuple[float, ...] | None, ...] | None = None) -> "Combination":
        """Equal weights."""
        return cls((1 / members,) * members, thresholds)

    def of(self, indices: Sequence[int]) -> "Combination":
        """The same of some members, those that are left out having no weight."""
        thresholds = None if self.thresholds is None else tuple(self.thresholds[index] for index in indices)
        return Combination(tuple(self.weights[index] for index in indices), thresholds)

    def document(self) -> dict[str, Any]:
        """As `tunery.json` has it under `blend`."""
        return {"weights": self.weights, "cuts": self.thresholds}


@final
@dataclass(frozen=True)
class Scorer:
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
        of_rows, truth = answers.take(rows), self.truth.take(rows)
        if fitted_on is None:
            metrics = self.task.fitted_score(of_rows, truth)
        else:
            metrics = self.task.score(of_rows, truth, self.state(answers, fitted_on))
        value: float | None = metrics[self.objective]
        return value

    def merit(self, answers: RowTable, rows: Rows) -> float:
        """The objective as a number of which more is better; what is undefined is worst."""
        value = self.value(answers, rows)
        return -math.inf if value is None else -minimized(value, self.direction)


Choose = Callable[[Sequence[Logits], Scorer, Rows, Combiner], Combination]
"""Logits of the members on all rows, and the rows that may be looked at."""


def _mean(logits: Sequence[Logits], scorer: Scorer, rows: Rows, combiner: Combiner) -> Combination:
    return Combination.even(len(logits))


def _weighted(logits: Sequence[Logits], scorer: Scorer, rows: Rows, combiner: Combiner) -> Combination:
    def merit(mean: Floats) -> float:
        return scorer.merit(RowTable({combiner.column: combiner.logits(mean)}), rows)

    return Combination(ensemble_selection([combiner.probabilities(member) for member in logits], merit), None)


def _vote(logits: Sequence[Logits], scorer: Scorer, rows: Rows, combiner: Combiner) -> Combination:
    if combiner.votes is None:
        raise ModelError("models vote on labels, but this task gives numbers, whose mean is taken; take --method mean")
    states = [scorer.state(RowTable({combiner.column: member}), rows) for member in logits]
    thresholds = tuple(None if state is None else scorer.task.raw_thresholds(state) for state in states)
    return Combination.even(len(logits), thresholds)


COMBINATIONS: Final[Mapping[str, Choose]] = {"mean": _mean, "weighted": _weighted, "vote": _vote}


def ensemble_selection(each: Sequence[Floats], merit: Callable[[Floats], float]) -> tuple[float, ...]:
    """Weights that sum to 1: of 20 rounds, each of which puts in once more whichever member makes the mean best, those
    after the best round.

    Ensemble selection with replacement (Caruana et al. 2004, section 2); of equals the first.
    """
    counts, total = np.zeros(len(each)), np.zeros_like(each[0])
    best, weights = -math.inf, Combination.even(len(each)).weights
    for size in range(1, _ROUNDS + 1):
        merits = [merit((total + member) / size) for member in each]
        index = int(np.argmax(merits))
        total, counts[index] = total + each[index], counts[index] + 1
        if merits[index] > best:
            best, weights = merits[index], tuple((counts / size).tolist())
    return weights
