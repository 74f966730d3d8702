"""Positions of the values of a parameter on an axis: on a linear or logarithmic one, or in a row of categories."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any, Literal, NamedTuple, final

from tunery.report.text.formatting import value_text
from tunery.report.text.numbers import finite

MOST_CATEGORIES = 10
"""Categories of one axis; rarer values share the last one."""

FEW_NUMBERS = 6
"""Up to so many distinct numbers of an unknown scale are taken for a list of choices, like ranks 4, 8, 16, 32."""

LOG_SPAN = 20
"""A positive parameter whose largest value is that many times its smallest may have a logarithmic axis."""

_OTHER = "other"

Scale = Literal["linear", "log", "category"]


@final
class Missing:
    """In place of the value of a parameter that a trial does not have; None is a value."""


class Axis(NamedTuple):
    """One parameter. Positions run from 0 (low end) to 1 (high end)."""

    name: str
    kind: Scale
    ticks: tuple[tuple[float, str], ...]
    positions: tuple[float | None, ...]
    """One per trial; None where it has no such parameter."""


def group_name(value: Any) -> str:
    """What a value is called among the others; empty where there is none."""
    return "" if value is Missing else value_text(value)


def parameter_axis(name: str, values: Sequence[Any], *, scale: Scale | None = None) -> Axis:
    """The axis of a parameter; a trial without it is `Missing`.

    Args:
        scale: how it was searched; None where that is not known, and is guessed from the values. What is not all
            numbers, or has no logarithm on a logarithmic scale, is drawn as categories.
    """
    existing = [value for value in values if value is not Missing]
    numbers = [number for value in existing if (number := finite(value)) is not None]
    scale = scale or _guessed_scale(numbers)
    if len(numbers) < len(existing) or scale == "category" or (scale == "log" and min(numbers) <= 0):
        return _category(name, values)
    numbers_or_none = [None if value is Missing else finite(value) for value in values]
    return _logarithmic(name, numbers_or_none) if scale == "log" else linear_axis(name, numbers_or_none)


def _guessed_scale(numbers: Sequence[float]) -> Scale:
    """Categories where few numbers differ; else the scale on which the median is nearer to the middle of the axis."""
    if len(set(numbers)) <= FEW_NUMBERS:
        return "category"
    low, middle, high = min(numbers), median(numbers), max(numbers)
    if low <= 0 or high < LOG_SPAN * low:
        return "linear"
    on_log_axis, on_linear_axis = math.log(middle / low) / math.log(high / low), (middle - low) / (high - low)
    return "log" if abs(on_log_axis - 0.5) < abs(on_linear_axis - 0.5) else "linear"


def _scaled(values: Sequence[float | None], low: float, high: float) -> tuple[float | None, ...]:
    width = high - low
    return tuple(None if v is None else (v - low) / width if width else 0.5 for v in values)


def linear_axis(name: str, values: Sequence[float | None]) -> Axis:
    """From the smallest to the largest value."""
    numbers = [value for value in values if value is not None]
    low, high = min(numbers), max(numbers)
    ends = [(0.0, _short(low)), (0.5, _short((low + high) / 2)), (1.0, _short(high))]
    ticks = ends if high > low else [(0.5, _short(low))]
    return Axis(name, "linear", tuple(ticks), _scaled(values, low, high))


def _logarithmic(name: str, values: Sequence[float | None]) -> Axis:
    logs = [None if value is None else math.log10(value) for value in values]
    numbers = [value for value in logs if value is not None]
    low, high = min(numbers), max(numbers)
    powers = range(math.ceil(low), math.floor(high) + 1)
    if low == high:
        return Axis(name, "log", ((0.5, _short(10**low)),), _scaled(logs, low, high))
    inner = [((power - low) / (high - low), f"{10.0**power:.0e}") for power in powers[:: max(1, len(powers) // 3)]]
    inner = [tick for tick in inner if 0.22 < tick[0] < 0.78]
    ends = [(0.0, f"{10**low:.1e}"), (1.0, f"{10**high:.1e}")]
    return Axis(name, "log", (ends[0], *inner, ends[1]), _scaled(logs, low, high))


def _short(value: float) -> str:
    return f"{value:.1e}" if value and not 1e-3 <= abs(value) < 1e5 else f"{value:.3g}"


def _category(name: str, values: Sequence[Any]) -> Axis:
    """Categories at equal distances; inside one, trials are spread a little so that many look like more than few."""
    names = [None if value is Missing else value_text(value) for value in values]
    numeric = {value_text(v): number for v in values if v is not Missing and (number := finite(v)) is not None}
    counts = Counter(name for name in names if name is not None)
    kept = [name for name, _ in counts.most_common(MOST_CATEGORIES)]
    order = sorted(kept, key=lambda name: (name not in numeric, numeric.get(name, 0.0), name))
    order += [_OTHER] if len(counts) > len(kept) else []
    index_of = {name: i for i, name in enumerate(order)}
    width = 1 / len(order)
    centres = [width * (i + 0.5) for i in range(len(order))]
    seen: Counter[int] = Counter()
    positions: list[float | None] = []
    for name_or_none in names:
        category = None if name_or_none is None else index_of.get(name_or_none, len(order) - 1)
        positions.append(None if category is None else centres[category] + width * 0.6 * _spread(seen[category]))
        seen.update([] if category is None else [category])
    return Axis(name, "category", tuple(zip(centres, order, strict=True)), tuple(positions))


def _spread(index: int) -> float:
    """The `index`-th point of the golden ratio sequence in [-0.5, 0.5): even at every length, the same each time."""
    return (index * 0.6180339887498949 + 0.5) % 1 - 0.5
