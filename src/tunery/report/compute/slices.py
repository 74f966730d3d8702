"""Slices: what the trials reached against one parameter at a time."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from tunery.report.compute.importance import most_important, varying
from tunery.report.compute.parameter_axes import Axis, parameter_axis
from tunery.report.compute.run_and_study import Limits, valued_trials, view_limits
from tunery.report.compute.sampling import best_indices, sampled
from tunery.schema.results.study import StudyResult, TrialRecord

MOST_SLICES = 6
"""Parameters that are drawn, most important first."""

_MOST_DOTS, _BEST_DOTS = 500, 150
"""Trials that are drawn in one slice; so many of them are the best."""


class Dot(NamedTuple):
    """One trial."""

    number: int
    status: str
    position: float
    """On the axis of its parameter, 0 to 1."""
    value: float
    """A pruned trial's is its best epoch so far."""


class Slice(NamedTuple):
    """One parameter."""

    axis: Axis
    dots: tuple[Dot, ...]
    middles: tuple[tuple[float, float], ...]
    """Of an axis of categories: the position of each and the median of its completed trials."""


class Slices(NamedTuple):
    """All parameters on one scale of values."""

    panels: tuple[Slice, ...]
    limits: Limits
    drawn: int
    """Trials of which each panel shows those that have its parameter."""
    of: int


def slices(study: StudyResult) -> Slices | None:
    """Completed and pruned trials; None where fewer than two have a value or no parameter varies."""
    valued = valued_trials(study)
    trials, values = [trial for trial, _ in valued], [value for _, value in valued]
    columns = varying(trial.params for trial in trials)
    if not columns:
        return None
    shown = most_important(study, columns, values)[:MOST_SLICES]
    kept = best_indices(values, study.direction, most=_BEST_DOTS)
    chosen = sampled(len(trials), _MOST_DOTS, kept=kept)
    axes = [parameter_axis(path, columns[path], scale=study.scales.get(path)) for path in shown]
    panels = tuple(_slice(axis, trials, values, chosen) for axis in axes)
    return Slices(panels, view_limits(values, study.direction), len(chosen), len(trials))


def _slice(axis: Axis, trials: Sequence[TrialRecord], values: Sequence[float], chosen: Sequence[int]) -> Slice:
    dots = tuple(
        Dot(trials[i].number, trials[i].status, position, values[i])
        for i in chosen
        if (position := axis.positions[i]) is not None
    )
    return Slice(axis, dots, _middles(axis, trials, values) if axis.kind == "category" else ())


def _middles(axis: Axis, trials: Sequence[TrialRecord], values: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """Medians over all trials, drawn or not."""
    reached: dict[int, list[float]] = {}
    for trial, value, position in zip(trials, values, axis.positions, strict=True):
        if trial.status == "completed" and position is not None:
            reached.setdefault(int(position * len(axis.ticks)), []).append(value)
    return tuple((axis.ticks[category][0], median(values)) for category, values in sorted(reached.items()))
