"""Parallel coordinates (Inselberg 1985): one axis per searched parameter, one line per trial."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean, median
from typing import Any, Literal, NamedTuple

from tunery.report.compute import trial_value, view_limits, within
from tunery.report.finite import finite
from tunery.report.leaderboard import searched
from tunery.report.words import metric_name, value_text
from tunery.schema.results import StudyResult

MOST_AXES = 8
"""Parameter axes that are drawn: those most related to the objective."""

MOST_CATEGORIES = 10
"""Categories of one axis; rarer values share the last one."""

FEW_NUMBERS = 6
"""Up to so many distinct numbers are drawn as steps of equal width, like a list of ranks 4, 8, 16, 32."""

LOG_SPAN = 20
"""A positive parameter whose largest value is that many times its smallest may have a logarithmic axis."""

SHADES = 6
"""Colours of lines, from the worst sixth of the completed trials to the best."""

_OTHER = "other"


class Axis(NamedTuple):
    """One parameter. Positions run from 0 (low end) to 1 (high end)."""

    name: str
    kind: Literal["linear", "log", "category"]
    ticks: tuple[tuple[float, str], ...]
    positions: tuple[float | None, ...]
    """One per line; None where the trial has no such parameter."""


class Line(NamedTuple):
    """One trial."""

    number: int
    shade: int | None
    """0 (worst sixth) to `SHADES - 1` (best sixth) of the completed trials; None for a pruned one."""


class Parallel(NamedTuple):
    """All axes and lines; the last axis is the objective."""

    axes: tuple[Axis, ...]
    lines: tuple[Line, ...]
    left_out: tuple[str, ...]
    """Parameters that vary and are not drawn."""


def parallel(study: StudyResult) -> Parallel | None:
    """Lines of the completed and pruned trials; None where fewer than two have a value or no parameter varies."""
    ended = [trial for trial in study.trials if trial.status in ("completed", "pruned")]
    valued = [(trial, value) for trial in ended if (value := trial_value(trial, study.direction)) is not None]
    trials, values = [trial for trial, _ in valued], [value for _, value in valued]
    columns = {path: [trial.params.get(path, _Missing) for trial in trials] for path in searched(study)}
    varying = {path: column for path, column in columns.items() if len(set(map(_group_name, column))) > 1}
    if len(trials) < 2 or not varying:
        return None
    ranked = sorted(varying, key=lambda path: -relatedness(varying[path], values))
    axes = [_axis(path, column) for path, column in varying.items() if path in ranked[:MOST_AXES]]
    completed = sorted((value for trial, value in valued if trial.status == "completed"), key=_sign(study))
    lines = tuple(
        Line(trial.number, _shade(value, completed, study) if trial.status == "completed" else None)
        for trial, value in valued
    )
    inside = within(values, view_limits(values, study.direction))
    return Parallel((*axes, _linear(metric_name(study.objective), inside)), lines, tuple(ranked[MOST_AXES:]))


class _Missing:
    """Stands for a parameter that a trial does not have; None is a value."""


def _sign(study: StudyResult) -> Callable[[float], float]:
    return (lambda value: value) if study.direction == "maximize" else (lambda value: -value)


def _shade(value: float, worst_first: Sequence[float], study: StudyResult) -> int:
    key = _sign(study)
    beaten = sum(key(other) < key(value) for other in worst_first)
    return beaten * SHADES // len(worst_first)


def relatedness(column: Sequence[Any], values: Sequence[float]) -> float:
    """Share of the variance of the values' ranks that a parameter explains, corrected for the number of its groups.

    Groups are categories or quarters of a number's range of ranks; trials without the parameter are a group of their
    own. This is epsilon squared (Kelley 1935): about 0 without relation, 1 where the groups tell all.
    """
    groups: dict[str, list[float]] = {}
    for name, rank in zip(_grouped(column), _ranks(values), strict=True):
        groups.setdefault(name, []).append(rank)
    middle = (len(values) - 1) / 2
    total = math.fsum((rank - middle) ** 2 for ranks in groups.values() for rank in ranks)
    inside = math.fsum((rank - fmean(ranks)) ** 2 for ranks in groups.values() for rank in ranks)
    freedom = len(values) - len(groups)
    return 1 - inside / total * (len(values) - 1) / freedom if freedom > 0 and total else 0.0


def _ranks(values: Sequence[float]) -> list[int]:
    order = sorted(range(len(values)), key=values.__getitem__)
    places = {trial: rank for rank, trial in enumerate(order)}
    return [places[trial] for trial in range(len(values))]


def _grouped(column: Sequence[Any]) -> list[str]:
    """The group of each trial: the name of its category, or the quarter in which its number ranks."""
    numbers = [finite(value) for value in column]
    known = sorted(number for number in numbers if number is not None)
    if len(set(known)) <= FEW_NUMBERS:
        return [_group_name(value) for value in column]
    return [
        _group_name(value) if number is None else str(4 * bisect_left(known, number) // len(known))
        for value, number in zip(column, numbers, strict=True)
    ]


def _group_name(value: Any) -> str:
    return "" if value is _Missing else value_text(value)


def _axis(name: str, values: Sequence[Any]) -> Axis:
    there = [value for value in values if value is not _Missing]
    numbers = [number for value in there if (number := finite(value)) is not None]
    if len(numbers) < len(there) or len(set(numbers)) <= FEW_NUMBERS:
        return _category(name, values)
    known = [None if value is _Missing else finite(value) for value in values]
    return _logarithmic(name, known) if _looks_logarithmic(numbers) else _linear(name, known)


def _looks_logarithmic(numbers: Sequence[float]) -> bool:
    """Whether the median is nearer to the middle of a logarithmic axis than of a linear one."""
    low, middle, high = min(numbers), median(numbers), max(numbers)
    if low <= 0 or high < LOG_SPAN * low:
        return False
    logarithmic = math.log(middle / low) / math.log(high / low)
    return abs(logarithmic - 0.5) < abs((middle - low) / (high - low) - 0.5)


def _scaled(values: Sequence[float | None], low: float, high: float) -> tuple[float | None, ...]:
    width = high - low
    return tuple(None if v is None else (v - low) / width if width else 0.5 for v in values)


def _linear(name: str, values: Sequence[float | None]) -> Axis:
    known = [value for value in values if value is not None]
    low, high = min(known), max(known)
    ends = [(0.0, _short(low)), (0.5, _short((low + high) / 2)), (1.0, _short(high))]
    ticks = ends if high > low else [(0.5, _short(low))]
    return Axis(name, "linear", tuple(ticks), _scaled(values, low, high))


def _logarithmic(name: str, values: Sequence[float | None]) -> Axis:
    logs = [None if value is None else math.log10(value) for value in values]
    known = [value for value in logs if value is not None]
    low, high = min(known), max(known)
    powers = range(math.ceil(low), math.floor(high) + 1)
    inner = [((power - low) / (high - low), f"{10.0**power:.0e}") for power in powers[:: max(1, len(powers) // 3)]]
    inner = [tick for tick in inner if 0.22 < tick[0] < 0.78]
    return Axis(name, "log", ((0.0, _short(10**low)), *inner, (1.0, _short(10**high))), _scaled(logs, low, high))


def _short(value: float) -> str:
    return f"{value:.1e}" if value and not 1e-3 <= abs(value) < 1e5 else f"{value:.3g}"


def _category(name: str, values: Sequence[Any]) -> Axis:
    """Categories at equal distances; inside one, lines are spread a little so that a bundle shows its size."""
    names = [None if value is _Missing else value_text(value) for value in values]
    numeric = {value_text(v): number for v in values if v is not _Missing and (number := finite(v)) is not None}
    counts = Counter(name for name in names if name is not None)
    kept = [name for name, _ in counts.most_common(MOST_CATEGORIES)]
    order = sorted(kept, key=lambda name: (name not in numeric, numeric.get(name, 0.0), name))
    order += [_OTHER] if len(counts) > len(kept) else []
    seat = {name: i for i, name in enumerate(order)}
    room = 1 / len(order)
    centres = [room * (i + 0.5) for i in range(len(order))]
    seen: Counter[int] = Counter()
    positions: list[float | None] = []
    for name_or_none in names:
        place = None if name_or_none is None else seat.get(name_or_none, len(order) - 1)
        positions.append(None if place is None else centres[place] + room * 0.6 * _spread(seen[place]))
        seen.update([] if place is None else [place])
    return Axis(name, "category", tuple(zip(centres, order, strict=True)), tuple(positions))


def _spread(index: int) -> float:
    """The `index`-th point of the golden ratio sequence in [-0.5, 0.5): even at every length, the same each time."""
    return (index * 0.6180339887498949 + 0.5) % 1 - 0.5
