"""From task specs to tasks, to the splits that they read, and to the labels in them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import numpy as np
import numpy.typing as npt

from tunery.data.examples import Example, Splits
from tunery.data.splits import NamedRows, fold_of_splits, load_splits
from tunery.data.splitting import stratified_folds
from tunery.schema.config.data import Data
from tunery.schema.config.task import (
    CausalLmTask,
    ClassificationTask,
    CriteriaEvidenceTask,
    MlmTask,
    MultilabelTask,
    RegressionTask,
    TaskSpec,
)
from tunery.tasks.causal_lm import CausalLm
from tunery.tasks.classification import Classification
from tunery.tasks.criteria_evidence import CriteriaEvidence
from tunery.tasks.mlm import Mlm
from tunery.tasks.multilabel import Multilabel
from tunery.tasks.regression import Regression
from tunery.tasks.task import Task

_NUMBER = re.compile(r"-?\d+(\.\d+)?")

TASKS: Final[dict[type[TaskSpec], type[Task]]] = {
    ClassificationTask: Classification,
    MultilabelTask: Multilabel,
    CriteriaEvidenceTask: CriteriaEvidence,
    CausalLmTask: CausalLm,
    MlmTask: Mlm,
    RegressionTask: Regression,
}
"""The task of each spec."""


def make_task(spec: TaskSpec, labels: Sequence[str], settings: Mapping[str, str]) -> Task:
    """The task of a spec over these labels.

    Args:
        settings: what `Task.settings_of` found in its training rows.
    """
    return TASKS[type(spec)].build(spec, labels=labels, settings=settings)


def task_of_rows(spec: TaskSpec, data: Data, splits: Splits) -> Task:
    """The task of a spec over the labels of its training rows; of cross-validation, of the rows of all folds, so that
    answers about one fold can be read beside those about another."""
    rows = splits.pool or splits.train.examples
    return make_task(spec, label_names(spec, data, rows), TASKS[type(spec)].settings_of(spec, rows))


def read_splits(data: Data, spec: TaskSpec, *, seed: int, tables: Iterable[NamedRows] | None = None) -> Splits:
    """The splits of a data set, read or split off as a task says.

    Args:
        tables: what the files have; None: they are read.

    Raises:
        DataError: as `load_splits` does.
    """
    task = TASKS[type(spec)]
    splits = load_splits(data, reader=task.reader(spec, data), strata=task.strata, seed=seed, tables=tables)
    return splits if data.fold is None else fold_of(splits, data, spec)


def fold_of(splits: Splits, data: Data, spec: TaskSpec) -> Splits:
    """The splits of the fold `data.fold`, as `fold_of_splits` makes them of those of all folds."""
    return fold_of_splits(splits, data, strata=TASKS[type(spec)].strata)


def fold_numbers(pool: Sequence[Example], data: Data, spec: TaskSpec) -> npt.NDArray[np.int64]:
    """The fold of each row in each repeat, from 0 to `data.folds` - 1; -1 where none holds it out: (repeats, rows)."""
    strata, count = TASKS[type(spec)].strata, data.folds or 0
    return np.stack(
        [stratified_folds(pool, count, strata=strata, seed=data.seed, repeat=repeat) for repeat in range(data.repeats)]
    )


def label_names(spec: TaskSpec, data: Data, rows: Sequence[Example]) -> tuple[str, ...]:
    """The labels of a task: those of its label columns in the order of the config, else those of the training rows.

    The latter are sorted; as numbers where all of them are numbers.

    Args:
        rows: of training.
    """
    columns = "" if spec.label_key is None else getattr(data, spec.label_key)
    if isinstance(columns, tuple):
        return tuple(columns)
    names = {label for example in rows for label in example.labels}
    if all(_NUMBER.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (Decimal(name), name)))
    return tuple(sorted(names))
