"""`tunery check --deep --by RUN`: training rows are judged by the models of a cross-validation, each of which has not
seen the rows that it judges."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tunery.data.examples import Example, Splits
from tunery.errors import DataError, FolderError
from tunery.schema import RunConfig
from tunery.schema.reading.document import validate
from tunery.schema.results.doubtful_rows import DoubtfulRow, DoubtfulRows
from tunery.store.disk.run_lock import data_changes
from tunery.store.folder import RunFolder
from tunery.tasks.table import fold_numbers, task_of_rows
from tunery.tasks.task import State, Task
from tunery.tasks.worst_rows import excerpts_of, worst_rows
from tunery.train.deep_check.deep_check import DeepCheck
from tunery.train.deep_check.doubts import SaidBack, label_doubts, number_doubts
from tunery.train.out_of_fold import Repeat, answers_of_folds, repeats_of, state_of
from tunery.train.setup.prepare import current_splits, data_record

MOST_ROWS: Final = 50
"""Of a record."""
OUT_OF_FOLD_ROWS: Final = "train, out of fold"
"""What the rows that are held out are called together."""


def deep_check_by_run(path: Path) -> DeepCheck:
    """What a finished cross-validated run says of its rows; probabilities are means over repeats.

    Raises:
        FolderError: there is no such run.
        DataError: the rows are not those that it was trained with.
    """
    result = RunFolder(path).result()
    if result is None or not result.folds or result.data is None:
        raise FolderError(
            "rows are judged by models that have not seen them, which a run with data.folds has, but "
            f"{str(path)!r} holds none that is finished; leave --by out for a simple model"
        )
    config = validate(result.config)
    splits = current_splits(config)
    if changed := data_changes(result.data, data_record(splits), names=("train",)):
        raise DataError(f"{str(path)!r} was trained with other rows: {changed}; put them back")
    task, pool = task_of_rows(config.task, config.data, splits), splits.pool
    answers = answers_of_folds(path, config.data.all_folds)
    if answers is None:
        raise FolderError(f"{str(path)!r} has lost the answers of its folds; train it anew in another folder")
    repeats = [*repeats_of(config, task, pool, answers)]
    said = said_of_folds(config, task, pool, repeats, state_of(task, repeats))
    return DeepCheck(f"run {path}", pool, said.doubts, said.findings)


def said_of_folds(
    config: RunConfig, task: Task, pool: Sequence[Example], repeats: Sequence[Repeat], state: State | None
) -> SaidBack:
    """What the models of all folds say of the rows that they were not trained on; of repeats the mean.

    Args:
        pool: the rows of all folds.
        state: what is fitted to all answers.
    """
    told: list[list[npt.NDArray[np.float64]]] = [[] for _ in pool]
    for repeat in repeats:
        predictions = task.answer(repeat.answers, [pool[row] for row in repeat.rows], state)
        for row, prediction in zip(repeat.rows, predictions, strict=True):
            values = [prediction.probabilities[name] for name in task.labels] if task.labels else [prediction.value]
            told[row].append(np.array(values, dtype=np.float64))
    width = max(1, len(task.labels))
    means = np.stack([np.mean(each, axis=0) if each else np.full(width, np.nan) for each in told])
    folds = np.where([bool(each) for each in told], fold_numbers(pool, config.data, config.task)[0], -1)
    alone = task.labels_alone() or task
    if task.labels:
        labels = alone.linear_targets(alone.truth(pool))
        assert labels is not None
        return label_doubts(pool, means, labels.values, folds, task.labels)
    given = np.array([example.number for example in pool], dtype=np.float64)
    return number_doubts(pool, means[:, 0], given, folds, [float(value) for value in means[:, 0]])


def write_rows_to_look_at(
    config: RunConfig,
    task: Task,
    splits: Splits,
    repeats: Sequence[Repeat],
    state: State | None,
    folder: RunFolder,
    *,
    texts: bool,
) -> None:
    """Record which training rows are doubtful; and, where there is no test, which were answered worst.

    Args:
        repeats: what the models of all folds answer.
        state: what is fitted to all answers.
        texts: whether the records have the beginnings of texts.
    """
    pool, first = splits.pool, repeats[0]
    said = said_of_folds(config, task, pool, repeats, state)
    folder.write_doubtful_rows(_doubtful_rows(said, pool, texts=texts))
    if not splits.test.examples:
        named = tuple(replace(pool[row], id=pool[row].name(row)) for row in first.rows)
        rows = replace(splits.train, name=OUT_OF_FOLD_ROWS, examples=named)
        folder.write_worst_rows(worst_rows(task, rows, first.answers, state=state, texts=texts))


def _doubtful_rows(said: SaidBack, pool: Sequence[Example], *, texts: bool) -> DoubtfulRows:
    """What is recorded of it, for the page. texts: whether the record of a row has the beginning of its text."""
    return DoubtfulRows(
        rows=tuple(
            DoubtfulRow(
                id=pool[doubt.row].name(doubt.row),
                texts=excerpts_of(pool[doubt.row]) if texts else (),
                given=doubt.given,
                suggested=doubt.suggested,
                given_probability=doubt.given_probability,
                suggested_probability=doubt.suggested_probability,
                reasons=doubt.reasons,
            )
            for doubt in said.doubts[:MOST_ROWS]
        ),
        total=len(said.doubts),
        of=len(pool),
        findings=tuple(finding.message for finding in said.findings),
    )
