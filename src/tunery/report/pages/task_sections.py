"""What a page shows of a task's metrics beside the numbers that every task has."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from tunery.report.markup import Html, tag
from tunery.report.pages.components import classes
from tunery.report.pages.confusion_matrix import confusion_parts
from tunery.schema.config.task import ClassificationTask, CriteriaEvidenceTask, MultilabelTask
from tunery.schema.spec import Spec

Sections = Callable[[Mapping[str, Any], str], list[Html]]
"""Metrics of a split and its title -> what is shown."""


def _labels(metrics: Mapping[str, Any], title: str) -> list[Html]:
    """A table of the labels, and which of them are mixed up."""
    per_label = classes(metrics)
    heading = [] if per_label is None else [tag("h3", f"{title}, per label"), per_label]
    return [*heading, *confusion_parts(metrics)]


SECTIONS: Final[dict[type[Spec], Sections]] = {
    ClassificationTask: _labels,
    MultilabelTask: _labels,
    CriteriaEvidenceTask: _labels,
}
"""By task."""


def task_sections(config: Mapping[str, Any], metrics: Mapping[str, Any], *, title: str) -> list[Html]:
    """What is shown of the metrics of one split.

    Args:
        config: of the run, as its record has it.
        title: of the split.
    """
    kinds = {spec.model_fields["kind"].default: sections for spec, sections in SECTIONS.items()}
    sections = kinds.get(config.get("task", {}).get("kind"))
    return [] if sections is None else sections(metrics, title)
