"""What the models of all folds say of the rows that they had not seen, as one answer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple

import numpy as np

from tunery.data.examples import Example
from tunery.data.reading.cells import joined
from tunery.data.reading.write import WRITERS
from tunery.data.row_table import RowTable
from tunery.errors import Damaged
from tunery.schema import RunConfig
from tunery.schema.results.run import FoldRecord, RunResult
from tunery.statistics import Score, cross_validation_interval
from tunery.store.disk.ownership import FOLDS
from tunery.store.folder import RunFolder
from tunery.store.study import StudyStore
from tunery.tasks.table import fold_numbers
from tunery.tasks.task import State, Task
from tunery.train.predict.predict_file import Answer, cells_of
from tunery.train.predict.scoring import jackknife
from tunery.train.setup.prepare import Prepared

_PREDICTED: Final = ("label", "labels", "value")
"""Columns of a prediction that a row of the data may have too."""


@dataclass(frozen=True)
class TrainedFold:
    """A finished fold."""

    config: RunConfig
    store: StudyStore
    folder: RunFolder
    result: RunResult

    def record(self) -> FoldRecord:
        """What the record of the whole says of it."""
        assert self.config.data.fold is not None
        assert self.result.data is not None
        held_out = self.result.data.splits["test"]
        return FoldRecord(
            fold=self.config.data.fold,
            rows=held_out.rows,
            digest=held_out.digest,
            value=(self.result.metrics.test or {})[self.config.objective],
            validation=self.result.objective.value,
            best_epoch=self.result.best_epoch,
            seconds=self.result.seconds,
        )

    def answers(self) -> RowTable:
        """About its rows, in the order of their file.

        Raises:
            Damaged: they are not there any more.
        """
        flat = self.folder.answers()
        if flat is None:
            raise Damaged(f"{str(self.folder.path)!r} has lost its answers; remove this folder, and go on")
        return RowTable.of_flat(flat)

    def forget_weights(self) -> None:
        """Let go of its weights: its answers are kept."""
        self.folder.write_kept(())
        self.store.tidy()


class Scored(NamedTuple):
    """Answers of the models of all folds about the rows that they had not seen."""

    metrics: dict[str, Any]
    """Of one repeat they are of all its rows at once, and not means over folds: a rare label is in few of these."""
    without_block: tuple[float | None, ...]
    interval: tuple[float, float] | None
    """As `Metrics` has them."""
    state: State | None
    """What the task fits on all of them."""


class Repeat(NamedTuple):
    """All folds of one repeat together."""

    number: int
    rows: Sequence[int]
    """Of the pool, ascending; those that no fold holds out are missing."""
    folds: Sequence[int]
    """Of each of these rows."""
    answers: RowTable
    truth: RowTable


class OutOfFold(NamedTuple):
    """What cross-validation has found."""

    records: tuple[FoldRecord, ...]
    results: tuple[RunResult, ...]
    """Of the folds, in their order."""
    scored: Scored
    repeats: tuple[Repeat, ...]
    table: str
    """`oof.csv`: a line for each row of each repeat."""


def answers_of_folds(run: Path, count: int) -> list[RowTable] | None:
    """What so many folds of a run answer, each about its rows; None where one of them has no answers there."""
    flat = [RunFolder(run / FOLDS / str(number)).answers() for number in range(count)]
    known = [RowTable.of_flat(each) for each in flat if each is not None]
    return known if len(known) == count else None


def out_of_fold(config: RunConfig, prepared: Prepared, folds: Sequence[TrainedFold]) -> OutOfFold:
    """Join and score what all folds answer.

    Args:
        prepared: the rows of all folds.
        folds: all of them, in the order of their numbers.
    """
    pool = prepared.splits.pool
    repeats = tuple(repeats_of(config, prepared.task, pool, [fold.answers() for fold in folds]))
    scored = _scored(config, prepared.task, repeats)
    return OutOfFold(
        records=tuple(fold.record() for fold in folds),
        results=tuple(fold.result for fold in folds),
        scored=scored,
        repeats=repeats,
        table=WRITERS[".csv"](
            [line for repeat in repeats for line in _lines(config, prepared.task, pool, repeat, scored.state)]
        ),
    )


def score_out_of_fold(config: RunConfig, task: Task, pool: Sequence[Example], answers: Sequence[RowTable]) -> Scored:
    """The score of answers by fold, each about the rows of its fold.

    Args:
        pool: the rows of all folds.
    """
    return _scored(config, task, [*repeats_of(config, task, pool, answers)])


def _scored(config: RunConfig, task: Task, repeats: Sequence[Repeat]) -> Scored:
    objective = config.objective
    state = state_of(task, repeats)
    metrics = mean_of([task.fitted_score(repeat.answers, repeat.truth) for repeat in repeats])
    without = [jackknife(task, each.answers, each.truth, state, objective=objective)[1] for each in repeats]
    without_block = tuple(mean_of(blocks) for blocks in zip(*without, strict=True))
    interval, value = None, metrics[objective]
    if value is not None:
        interval = cross_validation_interval(Score(value, without_block), folds=config.data.folds or 0)
    if interval is not None:  # no metric that is maximized is above 1, and none that is minimized below 0
        low, high = interval
        interval = (low, min(high, 1.0)) if config.direction == "maximize" else (max(low, 0.0), high)
    return Scored(metrics, without_block, interval, state)


def state_of(task: Task, repeats: Sequence[Repeat]) -> State | None:
    """What the task fits on the answers of all folds, those of all repeats together."""
    return task.fit_state(
        RowTable.joined([repeat.answers for repeat in repeats]), RowTable.joined([repeat.truth for repeat in repeats])
    )


def mean_of(values: Sequence[Any]) -> Any:
    """The mean of numbers, and of those in mappings and lists; None where one is None; of all else the first."""
    first = values[0]
    if len(values) == 1 or isinstance(first, str | bool):
        return first
    if isinstance(first, Mapping):
        return {key: mean_of([value[key] for value in values]) for key in first}
    if isinstance(first, list | tuple):
        return [mean_of(each) for each in zip(*values, strict=False)]
    return None if None in values else fmean(values)


def repeats_of(config: RunConfig, task: Task, pool: Sequence[Example], answers: Sequence[RowTable]) -> Iterator[Repeat]:
    count = config.data.folds or 0
    for number, fold_of_row in enumerate(fold_numbers(pool, config.data, config.task)):
        rows = np.concatenate([np.flatnonzero(fold_of_row == fold) for fold in range(count)])
        order = np.argsort(rows)
        ascending = rows[order].tolist()
        yield Repeat(
            number=number,
            rows=ascending,
            folds=fold_of_row[ascending].tolist(),
            answers=RowTable.joined(answers[number * count : (number + 1) * count]).take(order),
            truth=task.truth([pool[row] for row in ascending]),
        )


def _lines(
    config: RunConfig, task: Task, pool: Sequence[Example], repeat: Repeat, state: State | None
) -> Iterator[dict[str, Any]]:
    """A line for each row: what it is, what is given, what is predicted, and probabilities."""
    data, count = config.data, config.data.folds or 0
    examples = [pool[row] for row in repeat.rows]
    predictions = task.answer(repeat.answers, examples, state)
    for row, fold, example, prediction in zip(repeat.rows, repeat.folds, examples, predictions, strict=True):
        cells = cells_of(task, data, Answer(probabilities=True), prediction)
        yield {
            **({} if data.id is None else {data.id: example.id}),
            "row": row,
            "fold": repeat.number * count + fold,
            **_given(example, separator=data.label_separator),
            **{f"predicted_{name}" if name in _PREDICTED else name: value for name, value in cells.items()},
        }


def _given(example: Example, *, separator: str) -> dict[str, Any]:
    if example.number is not None:
        return {"given_value": example.number}
    return {"given": joined(example.labels, separator=separator)}
