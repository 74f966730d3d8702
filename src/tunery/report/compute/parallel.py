"""Parallel coordinates (Inselberg 1985): one axis per searched parameter, one line per trial."""

from bisect import bisect_left
from typing import NamedTuple

from tunery.report.compute.importance import most_important, varying
from tunery.report.compute.parameter_axes import Axis, linear_axis, parameter_axis
from tunery.report.compute.run_and_study import valued_trials, view_limits, within
from tunery.report.compute.sampling import best_indices, sampled
from tunery.report.text.formatting import metric_name
from tunery.schema.results.direction import minimized
from tunery.schema.results.study import StudyResult

MOST_AXES = 8
"""Parameter axes that are drawn: the most important ones."""

MOST_LINES, _BEST_LINES = 400, 150
"""Trials that are drawn; so many of them are the best."""

SHADES = 6
"""Colours of lines, from the worst sixth of the completed trials to the best."""


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
    of: int
    """Trials of which the lines are a sample."""


def parallel(study: StudyResult) -> Parallel | None:
    """Lines of the completed and pruned trials; None where fewer than two have a value or no parameter varies."""
    valued = valued_trials(study)
    trials, values = [trial for trial, _ in valued], [value for _, value in valued]
    columns = varying(trial.params for trial in trials)
    if not columns:
        return None
    ranked = most_important(study, columns, values)
    kept = best_indices(values, study.direction, most=_BEST_LINES)
    chosen = sampled(len(trials), MOST_LINES, kept=kept)
    axes = [
        parameter_axis(path, column, scale=study.scales.get(path))
        for path, column in columns.items()
        if path in ranked[:MOST_AXES]
    ]
    axes.append(linear_axis(metric_name(study.objective), within(values, view_limits(values, study.direction))))
    merits = [-minimized(value, study.direction) for value in values]
    worst_first = sorted(merit for trial, merit in zip(trials, merits, strict=True) if trial.status == "completed")
    lines = []
    for i in chosen:
        completed = trials[i].status == "completed"
        shade = bisect_left(worst_first, merits[i]) * SHADES // len(worst_first) if completed else None
        lines.append(Line(trials[i].number, shade))
    axes = [axis._replace(positions=tuple(axis.positions[i] for i in chosen)) for axis in axes]
    return Parallel(tuple(axes), tuple(lines), tuple(ranked[MOST_AXES:]), len(trials))
