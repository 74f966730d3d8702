"""The table of tasks, and the label names they share."""

from collections.abc import Sequence
from typing import Final

from tunery.data.classification import ClassificationView
from tunery.data.multilabel import MultilabelView
from tunery.data.rows import Split
from tunery.data.task import TaskView
from tunery.schema.spec import Spec
from tunery.schema.task import ClassificationTask, MultilabelTask, Task

TASKS: Final[dict[type[Spec], type[TaskView]]] = {
    ClassificationTask: ClassificationView,
    MultilabelTask: MultilabelView,
}
"""The view of each task spec."""


def make_task(spec: Task, labels: Sequence[str]) -> TaskView:
    """The view of a task over these labels."""
    return TASKS[type(spec)].build(spec, labels=labels)


def label_names(train: Split) -> tuple[str, ...]:
    """The labels of the training rows, sorted; as numbers where all of them are whole numbers."""
    names = {label for example in train.examples for label in example.labels}
    if all(_is_whole(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _is_whole(name: str) -> bool:
    return name.removeprefix("-").isdecimal()
