"""The table of tasks, and the label names they share."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from tunery.data.classification import ClassificationView
from tunery.data.multilabel import MultilabelView
from tunery.data.rows import Split
from tunery.data.task import TaskView
from tunery.schema.spec import Spec
from tunery.schema.task import ClassificationTask, MultilabelTask, Task

_NUMBER = re.compile(r"-?\d+(\.\d+)?")

TASKS: Final[dict[type[Spec], type[TaskView]]] = {
    ClassificationTask: ClassificationView,
    MultilabelTask: MultilabelView,
}
"""The view of each task spec."""


def make_task(spec: Task, labels: Sequence[str]) -> TaskView:
    """The view of a task over these labels."""
    return TASKS[type(spec)].build(spec, labels=labels)


def label_names(train: Split, *, columns: str | Sequence[str] | None = None) -> tuple[str, ...]:
    """The labels of a task: those of its label columns in the order of the config, else those of the training rows.

    The latter are sorted; as numbers where all of them are numbers.

    Args:
        columns: `data.labels` of a multilabel task.
    """
    if columns is not None and not isinstance(columns, str):
        return tuple(columns)
    names = {label for example in train.examples for label in example.labels}
    if all(_NUMBER.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (Decimal(name), name)))
    return tuple(sorted(names))
