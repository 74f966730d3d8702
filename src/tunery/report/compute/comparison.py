"""Records of a comparison become numbers: who comes first, what is in view, what a score costs."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tunery.report.compute.run_and_study import Limits, with_margin
from tunery.report.text.cost_units import PLAIN, SIZES, TIMES, Units, unit_for, wide
from tunery.report.text.numbers import finite
from tunery.schema.results.comparison import ComparisonResult, MethodSummary
from tunery.schema.results.direction import minimized
from tunery.schema.results.pareto import pareto_front
from tunery.schema.results.ranking import ranking_key

_FAR = 8
"""Methods that would make the axis so many times longer than all better ones need are left outside the drawing."""


class Interval(NamedTuple):
    """A number of one method, its 95 % interval, and what it is the mean of."""

    method: str
    value: float | None
    low: float | None
    high: float | None
    dots: tuple[float, ...] = ()
    """One per seed."""
    certain: bool = True
    """Whether it is to be drawn as significant."""


class Intervals(NamedTuple):
    """All methods, best first, and the part of the axis that is drawn."""

    rows: tuple[Interval, ...]
    limits: Limits


class Cost(NamedTuple):
    """What every method took, in a unit that a person would use."""

    name: str
    unit: str
    values: Mapping[str, float]
    """By method; one that has no number, or zero, is left out."""
    logarithmic: bool
    """Whether the values span so much that points belong on a logarithmic axis."""

    @property
    def title(self) -> str:
        """Name and unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


class MethodPoint(NamedTuple):
    """One method in the plane of cost and score."""

    method: str
    cost: float
    score: float
    shown: float
    """The score, or the edge of the drawing where it lies beyond."""
    on_front: bool


class TradeOff(NamedTuple):
    """Score against one cost; the front has the methods that are Pareto-optimal."""

    cost: Cost
    points: tuple[MethodPoint, ...]
    front: tuple[MethodPoint, ...]
    """From the cheapest on."""
    limits: Limits
    """Scores that are drawn."""


def ranked(result: ComparisonResult) -> list[MethodSummary]:
    """Methods by mean score, best first; those without a score come last, in the order they were asked for."""
    return sorted(result.methods, key=lambda each: ranking_key(finite(each.mean), None, direction=result.direction))


def score_intervals(result: ComparisonResult) -> Intervals:
    """Mean score of every method with its interval and its seeds."""
    dots: dict[str, list[float]] = {}
    for cell in result.cells:
        if (value := finite(cell.value)) is not None:
            dots.setdefault(cell.method, []).append(value)
    rows = tuple(
        Interval(m.method, finite(m.mean), finite(m.low), finite(m.high), tuple(dots.get(m.method, ())))
        for m in ranked(result)
    )
    return Intervals(rows, interval_limits(rows))


def difference_intervals(result: ComparisonResult) -> Intervals | None:
    """Difference of every other method to the baseline; None where there is none. Zero is in view."""
    rows = tuple(
        Interval(
            m.method,
            finite(m.difference),
            finite(m.difference_low),
            finite(m.difference_high),
            certain=bool(m.significant),
        )
        for m in ranked(result)
    )
    if all(row.value is None for row in rows):
        return None
    by_distance = sorted(rows, key=lambda row: abs(row.value or 0.0))
    return Intervals(rows, interval_limits((Interval("", 0.0, None, None), *by_distance)))


def interval_limits(rows: Sequence[Interval]) -> Limits:
    """Limits that hold every interval and every seed, unless the last of the rows are far off all others."""
    with_value = [row for row in rows if row.value is not None]
    if not with_value:
        return Limits(0.0, 1.0, 0)
    shown = next(
        (
            with_value[:count]
            for count in range(max(2, math.ceil(len(with_value) / 2)), len(with_value))
            if _reach(with_value[: count + 1]) > _FAR * _reach(with_value[:count]) > 0
        ),
        with_value,
    )
    numbers = _numbers(shown)
    return Limits(*with_margin(min(numbers), max(numbers), share=0.06), len(with_value) - len(shown))


def _reach(rows: Sequence[Interval]) -> float:
    numbers = _numbers(rows)
    return max(numbers) - min(numbers)


def _numbers(rows: Sequence[Interval]) -> list[float]:
    return [n for row in rows for n in (row.value, row.low, row.high, *row.dots) if n is not None]


def trainable_cost(result: ComparisonResult) -> Cost:
    """Trainable parameters, head included."""

    def read(method: MethodSummary) -> int | None:
        return method.parameters.trainable if method.parameters else None

    return _cost(result, "trainable parameters", read)


def time_cost(result: ComparisonResult) -> Cost:
    """Training time, in seconds, minutes or hours."""
    return _cost(result, "training time", lambda m: m.seconds, units=TIMES)


def memory_cost(result: ComparisonResult) -> Cost:
    """Peak memory: of the device where every method has one, else of the host."""
    where = memory_kind(result)
    return _cost(result, f"peak {where} memory", lambda m: peak_bytes(m, where), units=SIZES)


def memory_kind(result: ComparisonResult) -> str:
    """`device` where the memory of a device is known of all methods that ran, else `host`."""
    memories = [method.memory for method in result.methods if method.memory]
    return "device" if memories and all(memory.device_peak_bytes is not None for memory in memories) else "host"


def peak_bytes(method: MethodSummary, where: str) -> int | None:
    """Peak memory of a method on `device` or `host`."""
    if method.memory is None:
        return None
    return method.memory.device_peak_bytes if where == "device" else method.memory.host_peak_bytes


def _cost(
    result: ComparisonResult,
    name: str,
    read: Callable[[MethodSummary], float | None],
    *,
    units: Units = PLAIN,
) -> Cost:
    raw = {method.method: finite(read(method)) for method in result.methods}
    positive = {method: value for method, value in raw.items() if value}
    divisor, unit = unit_for(positive.values(), units)
    values = {method: value / divisor for method, value in positive.items()}
    return Cost(name, unit, values, wide(values.values()))


def trade_off(result: ComparisonResult, cost: Cost) -> TradeOff:
    """Every method that has both a score and this cost."""
    scored = [
        (method.method, cost.values[method.method], mean)
        for method in ranked(result)
        if method.method in cost.values and (mean := finite(method.mean)) is not None
    ]
    limits = interval_limits([Interval(name, score, None, None) for name, _, score in scored])
    best = pareto_front({name: (spent, minimized(score, result.direction)) for name, spent, score in scored})
    points = tuple(MethodPoint(name, x, score, _inside(score, limits), name in best) for name, x, score in scored)
    front = sorted((point for point in points if point.on_front), key=lambda point: point.cost)
    return TradeOff(cost, points, tuple(front), limits)


def _inside(value: float, limits: Limits) -> float:
    edge = 0.02 * (limits.high - limits.low)
    return value if limits.low <= value <= limits.high else min(max(value, limits.low + edge), limits.high - edge)
