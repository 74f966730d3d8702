"""Records become numbers: what happened in a study, what the store saved, how one run went."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from tunery.report.compute.sampling import best_indices, sampled
from tunery.report.text.numbers import finite
from tunery.schema.results.direction import Direction, best_of, is_better, minimized
from tunery.schema.results.study import StudyResult, TrialRecord

MOST_POINTS = 600
"""Points of a training curve that are drawn; longer curves are averaged over equal stretches."""

MOST_TRIALS = 1_200
"""Trials of a history that are drawn."""

MOST_CURVES, _BEST_CURVES = 300, 100
"""Learning curves that are drawn; so many of them are the best."""


class Limits(NamedTuple):
    """The part of a value axis that is drawn, and how many values lie beyond it."""

    low: float
    high: float
    hidden: int


class Point(NamedTuple):
    """The value of one trial; a pruned trial's value is its best epoch so far."""

    number: int
    value: float
    status: str


class History(NamedTuple):
    """A study over its trials."""

    points: tuple[Point, ...]
    best: tuple[tuple[int, float], ...]
    """Trial number and best completed value so far, one entry per improvement and one at the last trial."""
    limits: Limits
    of: int
    """Trials of which the points are a sample; `best` is of all."""


class Curve(NamedTuple):
    """Objective of one trial after each epoch; None where it was not a number."""

    number: int
    status: str
    values: tuple[float | None, ...]
    stopped_at: int | None
    """Epoch after which the trial was pruned."""


class Curves(NamedTuple):
    """Learning curves of a study."""

    curves: tuple[Curve, ...]
    limits: Limits
    of: int
    """Trials of which the curves are a sample."""


class ClassTable(NamedTuple):
    """Metrics per label, in the order of the labels."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]


class Series(NamedTuple):
    """One metric over training."""

    x: tuple[float, ...]
    y: tuple[float | None, ...]


class RunCurves(NamedTuple):
    """What a single run logged, by epoch where epochs are known, else by step."""

    unit: str
    train_loss: Series | None
    smooth_loss: Series | None
    rate: Series | None
    validation: dict[str, Series]


def view_limits(values: Iterable[float], direction: Direction) -> Limits:
    """Limits that show the good values well: one that is much worse than the others is left outside.

    Much worse means more than four times as far from the best as the quartile on the worse side is.
    """
    ordered = sorted(values, key=lambda value: minimized(value, direction))
    if not ordered:
        return Limits(0.0, 1.0, 0)
    best, quartile = ordered[0], ordered[-1 - len(ordered) // 4]
    worst = best - 4 * (best - quartile)
    shown = [value for value in ordered if best == quartile or not is_better(worst, value, direction=direction)]
    low, high = with_margin(min(shown), max(shown))
    return Limits(low, high, sum(not low <= value <= high for value in ordered))


def with_margin(low: float, high: float, share: float = 0.05) -> tuple[float, float]:
    """Limits of an axis, wider by a share of their distance on either side, or by a little where they are equal."""
    margin = share * (high - low) or max(abs(high) * 0.02, 1e-3)
    return low - margin, high + margin


def within(values: Sequence[float], limits: Limits) -> list[float]:
    """`values`, those outside moved to the nearest value inside."""
    inside = [value for value in values if limits.low <= value <= limits.high]
    low, high = min(inside), max(inside)
    return [min(max(value, low), high) for value in values]


def trial_value(trial: TrialRecord, direction: Direction) -> float | None:
    """The trial's value; for one that was stopped without, its best epoch so far."""
    if (value := finite(trial.value)) is not None or trial.status == "failed":
        return value
    seen = [value for value in map(finite, trial.history) if value is not None]
    return best_of(seen, direction) if seen else None


def valued_trials(study: StudyResult) -> list[tuple[TrialRecord, float]]:
    """The completed and pruned points of the search space that have a value, with it."""
    ended = [trial for trial in study.trials if trial.status in ("completed", "pruned") and not trial.is_baseline]
    return [(trial, value) for trial in ended if (value := trial_value(trial, study.direction)) is not None]


def history(study: StudyResult) -> History:
    """Values of all trials in the order they were started, and the best completed one so far."""
    trials = sorted(study.trials, key=lambda trial: trial.number)
    valued = [(trial, trial_value(trial, study.direction)) for trial in trials]
    points = [Point(trial.number, value, trial.status) for trial, value in valued if value is not None]
    best = _improvements(points, study.direction)
    marked = {study.winner, *(number for number, _ in best)}
    kept = {index for index, point in enumerate(points) if point.number in marked}
    if best:
        best.append((trials[-1].number, best[-1][1]))
    limits = view_limits((point.value for point in points), study.direction)
    shown = tuple(points[index] for index in sampled(len(points), MOST_TRIALS, kept=kept))
    return History(shown, tuple(best), limits, len(points))


def _improvements(points: Sequence[Point], direction: Direction) -> list[tuple[int, float]]:
    best: list[tuple[int, float]] = []
    for point in points:
        if point.status == "completed" and (not best or is_better(point.value, best[-1][1], direction=direction)):
            best.append((point.number, point.value))
    return best


def learning_curves(study: StudyResult) -> Curves:
    """One curve per trial that finished an epoch."""
    curves = [
        Curve(trial.number, trial.status, values, len(values) if trial.status == "pruned" else None)
        for trial in sorted(study.trials, key=lambda trial: trial.number)
        if (values := tuple(map(finite, trial.history))) and any(value is not None for value in values)
    ]
    reached = [[value for value in curve.values if value is not None] for curve in curves]
    tops = [best_of(values, study.direction) for values in reached]
    kept = best_indices(tops, study.direction, most=_BEST_CURVES)
    kept |= {index for index, curve in enumerate(curves) if curve.number == study.winner}
    shown = tuple(curves[index] for index in sampled(len(curves), MOST_CURVES, kept=kept))
    limits = view_limits((value for values in reached for value in values), study.direction)
    return Curves(shown, limits, len(curves))


def share_saved(kept: int, keep_all: int) -> float | None:
    """Share of the bytes of keeping everything that was not kept; None where that saves nothing.

    The folder of a small run may well hold more: its export has a tokenizer, which no checkpoint of the weights has.
    """
    return 1 - kept / keep_all if kept < keep_all else None


def class_table(metrics: Mapping[str, Any], chosen: Sequence[str] | None = None) -> ClassTable | None:
    """`per_label` of a run's metrics: label -> metric -> number. None where it is absent or of another shape.

    Args:
        chosen: metrics, in the order of the columns; None: all that there are.
    """
    per_label = metrics.get("per_label")
    if not isinstance(per_label, Mapping) or not all(isinstance(row, Mapping) for row in per_label.values()):
        return None
    columns = tuple(dict.fromkeys(str(name) for row in per_label.values() for name in row))
    columns = columns if chosen is None else tuple(name for name in chosen if name in columns)
    rows = tuple((str(label), tuple(finite(row.get(name)) for name in columns)) for label, row in per_label.items())
    return ClassTable(columns, rows) if columns else None


def scalars(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """The metrics that are single numbers; a null (undefined) metric counts, nested values and a calibration do not."""
    return {
        name: finite(value)
        for name, value in metrics.items()
        if (value is None or isinstance(value, int | float)) and name != "calibration"
    }


def without_repeats(names: Iterable[str], splits: Iterable[Mapping[str, Any]], objective: str) -> list[str]:
    """`names` without micro F1 where it is accuracy, as it always is in single-label tasks."""
    equal = all("accuracy" in split and split.get("f1_micro") == split["accuracy"] for split in splits if split)
    return [name for name in names if name != "f1_micro" or not equal or objective == "f1_micro"]


def run_curves(metrics: Sequence[Mapping[str, Any]]) -> RunCurves:
    """Training loss and validation metrics from parsed `metrics.jsonl` lines.

    Names are `<split>/<metric>`. Of the training metrics, `train/loss` and `train/lr` are drawn.
    """
    unit = "epoch" if metrics and all(finite(line.get("epoch")) is not None for line in metrics) else "step"
    points: dict[str, list[tuple[float, float | None]]] = {}
    for line in metrics:
        point = (finite(line.get(unit)) or 0.0, finite(line.get("value")))
        points.setdefault(str(line.get("name")), []).append(point)
    series = {}
    for name in sorted(points):
        ordered = sorted(points[name], key=lambda point: point[0])
        series[name] = Series(tuple(x for x, _ in ordered), tuple(y for _, y in ordered))
    loss, rate = series.get("train/loss"), series.get("train/lr")
    scores = {name.removeprefix("validation/"): s for name, s in series.items() if name.startswith("validation/")}
    thin = loss and thinned(loss)
    return RunCurves(unit, thin, thin and smoothed(thin), rate and thinned(rate), scores)


def smoothed(series: Series) -> Series:
    """Mean over a window of about a twentieth of the points, centred, so that the curve does not lag."""
    reach = max(1, len(series.y) // 40)
    windows = (series.y[max(0, i - reach) : i + reach + 1] for i in range(len(series.y)))
    return series._replace(y=tuple(map(_mean, windows)))


def thinned(series: Series) -> Series:
    """At most `MOST_POINTS` points, each the mean of an equal stretch."""
    if len(series.x) <= MOST_POINTS:
        return series
    edges = [round(i * len(series.x) / MOST_POINTS) for i in range(MOST_POINTS + 1)]
    stretches = list(zip(edges, edges[1:], strict=False))
    means = (_mean(series.y[start:end]) for start, end in stretches)
    return Series(tuple(fmean(series.x[start:end]) for start, end in stretches), tuple(means))


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return fmean(numbers) if numbers else None
