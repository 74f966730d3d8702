"""Tables of rows as tasks that give labels have them."""

from collections.abc import Sequence
from typing import Any

from tunery.data.row_table import RowTable
from tunery.schema.config.decision import PerLabelThreshold
from tunery.tasks.classification import Classification
from tunery.tasks.decisions import AnyLabels, OneLabel
from tunery.tasks.multilabel import Multilabel


def logit_table(logits: Any) -> RowTable:
    """What a model answers: logits (rows, labels)."""
    return RowTable({"logits": logits})


def label_table(targets: Any) -> RowTable:
    """What it is compared with: (rows,) or (rows, labels)."""
    return RowTable({"labels": targets})


def one_label(labels: Sequence[str]) -> Classification:
    """The task of exactly one of some labels, without calibration."""
    return Classification(labels, OneLabel(labels))


def any_labels(labels: Sequence[str]) -> Multilabel:
    """The task of any of some labels, with a threshold for each, without calibration."""
    return Multilabel(labels, AnyLabels(labels, threshold=PerLabelThreshold()))
