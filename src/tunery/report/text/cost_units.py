"""What a trial or a method takes, in units that a person would use; and what counts in a study beside its objective."""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from tunery.report.text.formatting import duration, metric_name, score, short_count, size

Units = tuple[tuple[float, float, str], ...]
"""From which largest value on, divided by what, called what; the last row holds for all others."""

TIMES: Final[Units] = ((3 * 3600, 3600, "h"), (180, 60, "min"), (0, 1, "s"))
SIZES: Final[Units] = ((1e9, 1e9, "GB"), (0, 1e6, "MB"))
PLAIN: Final[Units] = ((0, 1, ""),)

LOG_FROM = 10
"""Ratio of the largest to the smallest cost from which the axis is logarithmic."""


class CostWords(NamedTuple):
    """Name, unit and text of a cost, or of another metric among the objectives."""

    name: str
    units: Units
    text: Callable[[float], str]


COST_WORDS: Final[dict[str, CostWords]] = {
    "memory": CostWords("peak memory", SIZES, size),
    "seconds": CostWords("training time", TIMES, duration),
    "parameters": CostWords("trained parameters", PLAIN, short_count),
    "disk": CostWords("disk", SIZES, size),
}


def words_of(name: str) -> CostWords:
    """Those of a cost, or of a metric."""
    return COST_WORDS.get(name) or CostWords(metric_name(name), PLAIN, score)


def unit_for(values: Iterable[float], units: Units) -> tuple[float, str]:
    """What all values are divided by, and the unit that makes of them."""
    largest = max(values, default=0.0)
    _, divisor, unit = next(row for row in units if largest >= row[0])
    return divisor, unit


def wide(values: Iterable[float]) -> bool:
    """Whether the values, all positive, span so much that they belong on a logarithmic axis."""
    ordered = sorted(values)
    return bool(ordered) and 0 < LOG_FROM * ordered[0] < ordered[-1]
