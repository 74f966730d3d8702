"""The rules about how labels are decided."""

from collections.abc import Callable, Iterator
from typing import Final

from tunery.errors import Problem
from tunery.schema.config.decision import AtLeastThreshold, PerLabelThreshold, by_label
from tunery.schema.config.task import ClassificationTask, CriteriaEvidenceTask, Task


def _costs_decide_alone(task: Task) -> Iterator[Problem]:
    threshold = getattr(task, "threshold", PerLabelThreshold())
    if getattr(task, "costs", None) is not None and threshold != PerLabelThreshold():
        message = f"thresholds follow from task.costs, so {threshold.method!r} would do nothing here; "
        yield Problem("task.threshold.method", message + "remove one of the two")


def _the_most_probable_label_has_no_threshold(task: Task) -> Iterator[Problem]:
    if not isinstance(task, CriteriaEvidenceTask) or not task.exclusive:
        return
    if task.threshold != PerLabelThreshold():
        message = f"with task.exclusive=true the most probable label is given, so {task.threshold.method!r} would do "
        yield Problem("task.threshold.method", message + "nothing; remove it, or write task.exclusive=false")
    if task.costs is not None:
        message = "with task.exclusive=true no label is missed without another one being wrong; remove this key, or "
        yield Problem("task.costs", message + "write task.exclusive=false")


def _what_is_right_costs_nothing(task: Task) -> Iterator[Problem]:
    if isinstance(task, ClassificationTask) and task.costs is not None:
        for label, row in task.costs.items():
            if row.get(label, 0):
                message = (
                    f"{label!r} told where {label!r} is true is no error, but costs {row[label]:g}; subtract that "
                )
                yield Problem("task.costs", message + "from all costs of this label, which changes no decision")


def _a_target_is_named(task: Task) -> Iterator[Problem]:
    spec = getattr(task, "threshold", None)
    if not isinstance(spec, AtLeastThreshold):
        return
    if spec.precision is None and spec.recall is None:
        message = "there must be something to reach; write task.threshold={method: at_least, precision: 0.9}"
        yield Problem("task.threshold.precision", message)
    elif spec.precision is not None and spec.recall is not None:
        named = (by_label(spec.precision), by_label(spec.recall))
        both = sorted({*named[0]} & {*named[1]})
        if not all(named) or both:
            which = f"of {both[0]!r}" if both else "of all labels"
            message = f"a threshold has one target, but precision and recall {which} are given; remove one of them"
            yield Problem("task.threshold.recall", message)


DECISION_RULES: Final[tuple[Callable[..., Iterator[Problem]], ...]] = (
    _costs_decide_alone,
    _the_most_probable_label_has_no_threshold,
    _what_is_right_costs_nothing,
    _a_target_is_named,
)
