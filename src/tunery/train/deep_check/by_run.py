"""`tunery check --deep --by RUN`: training rows are judged by the models of a cross-validation, each of which has not
seen the rows that it judges."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tunery.errors import DataError, FolderError
from tunery.schema.reading.document import validate
from tunery.store.disk.run_lock import data_changes
from tunery.store.folder import RunFolder
from tunery.tasks.table import fold_numbers, task_of_rows
from tunery.train.deep_check.deep_check import DeepCheck
from tunery.train.deep_check.doubts import label_doubts, number_doubts
from tunery.train.out_of_fold import answers_of_folds, repeats_of, score_out_of_fold
from tunery.train.setup.prepare import current_splits, data_record


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
    state = score_out_of_fold(config, task, pool, answers).state
    told: list[list[npt.NDArray[np.float64]]] = [[] for _ in pool]
    for repeat in repeats_of(config, task, pool, answers):
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
        said = label_doubts(pool, means, labels.values, folds, task.labels)
    else:
        given = np.array([example.number for example in pool], dtype=np.float64)
        said = number_doubts(pool, means[:, 0], given, folds, [float(value) for value in means[:, 0]])
    return DeepCheck(f"run {path}", pool, said.doubts, said.findings)
