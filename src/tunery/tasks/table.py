"""From task specs to tasks, to the splits that they read, and to the labels in them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from tunery.data.examples import Split, Splits
from tunery.data.splits import NamedRows, load_splits
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


def task_of_rows(spec: TaskSpec, data: Data, train: Split) -> Task:
    """The task of a spec over the labels of its training rows."""
    settings = TASKS[type(spec)].settings_of(spec, train.examples)
    return make_task(spec, label_names(spec, data, train), settings)


def read_splits(data: Data, spec: TaskSpec, *, seed: int, tables: Iterable[NamedRows] | None = None) -> Splits:
    """The splits of a data set, read or split off as a task says.

    Args:
        tables: what the files have; None: they are read.

    Raises:
        DataError: as `load_splits` does.
    """
    task = TASKS[type(spec)]
    return load_splits(data, reader=task.reader(spec, data), strata=task.strata, seed=seed, tables=tables)


def label_names(spec: TaskSpec, data: Data, train: Split) -> tuple[str, ...]:
    """The labels of a task: those of its label columns in the order of the config, else those of the training rows.

    The latter are sorted; as numbers where all of them are numbers.
    """
    columns = "" if spec.label_key is None else getattr(data, spec.label_key)
    if isinstance(columns, tuple):
        return tuple(columns)
    names = {label for example in train.examples for label in example.labels}
    if all(_NUMBER.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (Decimal(name), name)))
    return tuple(sorted(names))
