"""What is said of how a model decides."""

from collections.abc import Mapping
from typing import Any, Final

from tunery.report.text.formatting import metric_name, score
from tunery.schema.results.decision import DecisionChange

_THRESHOLDS: Final = {
    "per_label": "Each label is given from a threshold of its own on, found on validation",
    "global": "All labels are given from one threshold on, found on validation",
    "fixed": "Labels are given from fixed thresholds on",
    "at_least": "Labels are given from the thresholds on that reach what was asked for on validation",
}
"""By `task.threshold.method`."""


def decision_sentence(task: Mapping[str, Any]) -> str | None:
    """How labels are decided, from the `task` of a config; None where nothing is decided but by what is most probable.

    Records of earlier versions may have a name or a number as `threshold`.
    """
    if task.get("costs"):
        return "Labels are decided so that the expected cost of errors is lowest (task.costs)."
    threshold = task.get("threshold")
    if task.get("exclusive") or not isinstance(threshold, Mapping):
        return None
    sentence = _THRESHOLDS.get(str(threshold.get("method")))
    values = {key: threshold[key] for key in ("value", "precision", "recall") if threshold.get(key) is not None}
    given = "; ".join(f"{key} {_values(value)}" for key, value in values.items())
    return sentence and f"{sentence}{f' ({given})' if given else ''}."


def _values(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{label} {number:g}" for label, number in value.items())
    return f"{value:g}" if isinstance(value, float | int) else str(value)


def change_sentence(change: DecisionChange) -> str:
    """What has changed after a run, and which scores are of before."""
    values = ""
    if change.value_before is not None and change.value is not None:
        before, after = score(change.value_before), score(change.value)
        values = f": {metric_name(change.objective)} on validation {before} before, {after} since"
    return (
        f"Since {change.at:%Y-%m-%d %H:%M} UTC the model decides otherwise (tunery threshold){values}. "
        "The scores here are of the decisions before; tunery evaluate has those of now."
    )
