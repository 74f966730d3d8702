"""What the models of all folds say of the rows that they had not seen, as one answer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from tunery.data.examples import Example
from tunery.data.reading.cells import joined
from tunery.data.reading.write import WRITERS
from tunery.data.row_table import RowTable
from tunery.errors import Damaged
from tunery.schema import RunConfig
from tunery.schema.results.run import FoldRecord, RunResult
from tunery.statistics import Score, cross_validation_interval
from tunery.store.folder import RunFolder
from tunery.store.study import StudyStore
from tunery.tasks.table import fold_numbers
from tunery.tasks.task import State
from tunery.train.predict.predict_file import Answer, cells_of
from tunery.train.predict.scoring import jackknife
from tunery.train.setup.prepare import Prepared


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


class OutOfFold(NamedTuple):
    """What cross-validation has found."""

    records: tuple[FoldRecord, ...]
    results: tuple[RunResult, ...]
    """Of the folds, in their order."""
    metrics: dict[str, Any]
    without_block: tuple[float | None, ...]
    interval: tuple[float, float] | None
    """As `Metrics` has them."""
    state: State | None
    """What the task fits on all answers about rows that were held out."""


class _Repeat(NamedTuple):
    """All folds of one repeat together."""

    number: int
    rows: Sequence[int]
    """Of the pool, ascending; those that no fold holds out are missing."""
    folds: Sequence[int]
    """Of each of these rows."""
    answers: RowTable
    truth: RowTable


def out_of_fold(config: RunConfig, prepared: Prepared, folds: Sequence[TrainedFold]) -> tuple[OutOfFold, str]:
    """Join and score what all folds answer. Returns also the text of `oof.csv`, a line for each row of each repeat.

    Metrics of one repeat are of all its rows at once, and not means over folds: a rare label is in few of these.

    Args:
        prepared: the rows of all folds.
        folds: all of them, in the order of their numbers.
    """
    task, objective, count = prepared.task, config.objective, config.data.folds or 0
    repeats = [*_repeats(config, prepared, folds)]
    state = task.fit_state(
        RowTable.joined([repeat.answers for repeat in repeats]), RowTable.joined([repeat.truth for repeat in repeats])
    )
    metrics = mean_of([task.fitted_score(repeat.answers, repeat.truth) for repeat in repeats])
    without = [jackknife(task, each.answers, each.truth, state, objective=objective)[1] for each in repeats]
    without_block = tuple(mean_of(blocks) for blocks in zip(*without, strict=True))
    value = metrics[objective]
    found = OutOfFold(
        records=tuple(fold.record() for fold in folds),
        results=tuple(fold.result for fold in folds),
        metrics=metrics,
        without_block=without_block,
        interval=None if value is None else cross_validation_interval(Score(value, without_block), folds=count),
        state=state,
    )
    lines = [line for repeat in repeats for line in _lines(config, prepared, repeat, state)]
    return found, WRITERS[".csv"](lines)


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


def _repeats(config: RunConfig, prepared: Prepared, folds: Sequence[TrainedFold]) -> Iterator[_Repeat]:
    pool, count = prepared.splits.pool, config.data.folds or 0
    for number, fold_of_row in enumerate(fold_numbers(pool, config.data, config.task)):
        answers = RowTable.joined([fold.answers() for fold in folds[number * count : (number + 1) * count]])
        rows = np.concatenate([np.flatnonzero(fold_of_row == fold) for fold in range(count)])
        order = np.argsort(rows)
        ascending = rows[order].tolist()
        yield _Repeat(
            number=number,
            rows=ascending,
            folds=fold_of_row[ascending].tolist(),
            answers=answers.take(order),
            truth=prepared.task.truth([pool[row] for row in ascending]),
        )


def _lines(config: RunConfig, prepared: Prepared, repeat: _Repeat, state: State | None) -> Iterator[dict[str, Any]]:
    """A line for each row: what it is, what is given, what is predicted, and probabilities."""
    data, count = config.data, config.data.folds or 0
    examples = [prepared.splits.pool[row] for row in repeat.rows]
    predictions = prepared.task.answer(repeat.answers, examples, state)
    for row, fold, example, prediction in zip(repeat.rows, repeat.folds, examples, predictions, strict=True):
        yield {
            **({} if data.id is None else {data.id: example.id}),
            "row": row,
            "fold": repeat.number * count + fold,
            **_given(example, separator=data.label_separator),
            **{
                f"predicted_{name}" if name in ("label", "labels", "value") else name: value
                for name, value in cells_of(prepared.task, data, Answer(probabilities=True), prediction).items()
            },
        }


def _given(example: Example, *, separator: str) -> dict[str, Any]:
    if example.number is not None:
        return {"given_value": example.number}
    return {"given": joined(example.labels, separator=separator)}
