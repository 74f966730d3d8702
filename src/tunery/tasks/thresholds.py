"""Probabilities from which labels are given: as a config says, or found on validation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from tunery.data.metrics import Bools, Floats, best_threshold, matching_threshold, target_threshold
from tunery.data.row_table import Array
from tunery.schema.config.decision import (
    AtLeastThreshold,
    Costs,
    FixedThreshold,
    GlobalThreshold,
    PerLabelThreshold,
    Threshold,
    by_label,
)
from tunery.tasks.of_labels import require_labels, unknown_labels, values_of

UNTUNED: Final = 0.5
FEW: Final = 25
"""Positive rows from which a label has the threshold with its highest F1. With fewer, the recall by which it would be
chosen has a standard error above a tenth (0.5 / sqrt(25), where it is one half), which is more than it gains."""
SHARED_ROWS: Final = 20
"""Positive rows that what such labels share counts as, beside those of a label itself."""

Labels = Sequence[str]
Fit = Callable[[Any, Labels, Floats, Bools], Floats]
"""The spec, the labels, probabilities (rows, labels), which labels are true (rows, labels) -> thresholds (labels,)."""


def threshold_groups(support: Array) -> tuple[list[int], list[int]]:
    """Numbers of the labels that have rows enough for a threshold of their own, and of the others.

    Args:
        support: rows of validation that have each label, (labels,).
    """
    return np.flatnonzero(support >= FEW).tolist(), np.flatnonzero(support < FEW).tolist()


def shrunk(own: Floats, shared: float, support: Array) -> Floats:
    """What each label says of its threshold, pulled to what all say together, the more the fewer rows it has."""
    result: Floats = (support * own + SHARED_ROWS * shared) / (support + SHARED_ROWS)
    return result


def _per_label(spec: Any, labels: Labels, probabilities: Floats, is_true: Bools) -> Floats:
    """What labels with few rows share is by which they are given together as often as they are true; where they have
    too few together, that of all labels."""
    support = is_true.sum(axis=0)
    own, few = threshold_groups(support)
    pool = few if is_true[:, few].sum() >= FEW else range(len(labels))
    shared = matching_threshold(probabilities[:, pool].ravel(), is_true[:, pool].ravel(), otherwise=UNTUNED)
    columns = [(probabilities[:, k], is_true[:, k]) for k in range(len(labels))]
    matching = np.array([matching_threshold(*column, otherwise=shared) for column in columns])
    thresholds = shrunk(matching, shared, support)
    for k in own:
        thresholds[k] = best_threshold(*columns[k], otherwise=shared)
    return thresholds


def _global(spec: Any, labels: Labels, probabilities: Floats, is_true: Bools) -> Floats:
    return np.full(len(labels), best_threshold(probabilities.ravel(), is_true.ravel(), otherwise=UNTUNED))


def _fixed(spec: FixedThreshold, labels: Labels, probabilities: Floats, is_true: Bools) -> Floats:
    return fixed_thresholds(spec, labels)


def _at_least(spec: AtLeastThreshold, labels: Labels, probabilities: Floats, is_true: Bools) -> Floats:
    thresholds = _per_label(spec, labels, probabilities, is_true)
    for metric in ("precision", "recall"):
        for label, least in _named(getattr(spec, metric), labels).items():
            k = labels.index(label)
            thresholds[k] = target_threshold(probabilities[:, k], is_true[:, k], metric=metric, least=least)
    return thresholds


def _named(value: float | Mapping[str, float] | None, labels: Labels) -> Mapping[str, float]:
    """The labels that have a target."""
    return dict.fromkeys(labels, value) if isinstance(value, float) else by_label(value)


FITS: Final[Mapping[type[Threshold], Fit]] = {
    PerLabelThreshold: _per_label,
    GlobalThreshold: _global,
    FixedThreshold: _fixed,
    AtLeastThreshold: _at_least,
}
"""How each choice of `task.threshold` is found."""


def fixed_thresholds(spec: FixedThreshold, labels: Labels) -> Floats:
    """The given ones, (labels,)."""
    return values_of(spec.value, labels, path="task.threshold.value")


def require_known(spec: AtLeastThreshold, labels: Labels) -> None:
    """Raise `ConfigError` where a target is named for a label that there is not."""
    require_labels(
        [
            problem
            for metric in ("precision", "recall")
            for problem in unknown_labels(by_label(getattr(spec, metric)), labels, path=f"task.threshold.{metric}")
        ]
    )


def thresholds_of_costs(costs: Costs, labels: Labels) -> Floats:
    """Where giving a label costs as much as leaving it out, (labels,): wrong / (wrong + missed) (Elkan 2001)."""
    missed, wrong = (values_of(getattr(costs, key), labels, path=f"task.costs.{key}") for key in ("missed", "wrong"))
    result: Floats = wrong / (wrong + missed)
    return result
