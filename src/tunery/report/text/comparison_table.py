"""The methods of a comparison as a table, best first: as text for people, as CSV for programs."""

import csv
import io
from collections.abc import Callable
from typing import Any, Final

from tunery.report.compute.comparison import memory_kind, peak_bytes, ranked
from tunery.report.text.formatting import DASH, count, metric_name, p_value, score, share_of_hundred, signed, size
from tunery.report.text.leaderboard import csv_cell
from tunery.report.text.numbers import finite
from tunery.schema.results.comparison import ComparisonResult, MethodSummary

CSV_COLUMNS: Final = (
    "method",
    "baseline",
    "seeds",
    "failed",
    "folds",
    "mean",
    "low",
    "high",
    "validation",
    "difference",
    "difference_low",
    "difference_high",
    "p_value",
    "significant",
    "on_pareto_front",
    "trainable_parameters",
    "total_parameters",
    "trainable_percent",
    "seconds",
    "total_seconds",
    "tokens_per_second",
    "host_peak_bytes",
    "device_peak_bytes",
    "disk_bytes",
)
"""Columns of `comparison.csv`."""


def comparison_rows(result: ComparisonResult) -> list[dict[str, Any]]:
    """One row per method, best first, every value as text; a dash where there is no number, a star at the p of a
    difference that holds after correction.
    """
    where = memory_kind(result)
    return [_row(method, where) for method in ranked(result)]


def comparison_csv(result: ComparisonResult) -> str:
    """One row per method, best first, with all digits; an empty cell where there is no number."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: csv_cell(v) for key, v in _csv_row(m, result.baseline).items()} for m in ranked(result))
    return text.getvalue()


def _row(method: MethodSummary, where: str) -> dict[str, Any]:
    parameters = method.parameters
    seconds, speed = finite(method.seconds), finite(method.tokens_per_second)
    peak, disk = finite(peak_bytes(method, where)), finite(method.disk_bytes)
    return {
        "method": method.method,
        "score": score(method.mean),
        "half": half_interval(method.low, method.high),
        "interval": interval(method.low, method.high),
        "difference": signed(method.difference),
        "p": p_value(method.p_value) + ("*" if method.significant else ""),
        "trainable": count(parameters.trainable) if parameters else DASH,
        "percent": share_of_hundred(parameters.percent) if parameters else DASH,
        "seconds": DASH if seconds is None else count(seconds),
        "tokens/s": DASH if speed is None else count(speed),
        "memory": size(peak) if peak else DASH,
        "disk": DASH if disk is None else size(disk),
    }


def scored_title(result: ComparisonResult) -> str:
    """What methods are compared by, and where it is taken."""
    return f"{metric_name(result.objective)} {result.where}"


def interval(low: float | None, high: float | None, text: Callable[[Any], str] = score) -> str:
    """`0.8312 to 0.8514`."""
    return DASH if finite(low) is None or finite(high) is None else f"{text(low)} to {text(high)}"


def half_interval(low: float | None, high: float | None) -> str:
    """Half the width of an interval: `± 0.0101`."""
    ends = finite(low), finite(high)
    return DASH if ends[0] is None or ends[1] is None else f"± {score((ends[1] - ends[0]) / 2)}"


def _csv_row(method: MethodSummary, baseline: str) -> dict[str, Any]:
    parameters, memory = method.parameters, method.memory
    plain = method.model_dump(exclude={"parameters", "memory"})
    return {
        **{name: finite(value) if isinstance(value, float) else value for name, value in plain.items()},
        "baseline": method.method == baseline,
        "trainable_parameters": parameters and parameters.trainable,
        "total_parameters": parameters and parameters.total,
        "trainable_percent": parameters and parameters.percent,
        "host_peak_bytes": memory and memory.host_peak_bytes,
        "device_peak_bytes": memory and memory.device_peak_bytes,
    }
