"""Records become numbers: what happened in a study, what pruning and the store saved, how one run went."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from statistics import fmean
from typing import Any, NamedTuple

from tunery.report.finite import finite
from tunery.schema.results import RunResult, StudyResult, TrialRecord

EARLY_EPOCHS = 5
"""Epochs up to which a stop counts as early in the summary."""

MOST_POINTS = 600
"""Points of a training curve that are drawn; longer curves are averaged over equal stretches."""


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


class Pruning(NamedTuple):
    """What stopping early did."""

    stopped: int
    ended: int
    """Trials that are no longer running."""
    early: int
    """Stopped after at most `EARLY_EPOCHS` epochs."""
    by_epoch: dict[int, int]
    seconds_saved: float | None
    """Estimate; None without a trial to learn the usual length from."""


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


def view_limits(values: Iterable[float], direction: str) -> Limits:
    """Limits that show the good values well: one that is much worse than the others is left outside.

    Much worse means more than four times as far from the best as the quartile on the worse side is.
    """
    known = sorted(values)
    if not known:
        return Limits(0.0, 1.0, 0)
    sign = 1 if direction == "maximize" else -1
    best, quartile = (known[-1], known[len(known) // 4]) if sign > 0 else (known[0], known[-1 - len(known) // 4])
    cut = best - 4 * (best - quartile)
    shown = [value for value in known if best == quartile or sign * value >= sign * cut]
    low, high = shown[0], shown[-1]
    room = 0.05 * (high - low) or max(abs(high) * 0.02, 1e-3)
    low, high = low - room, high + room
    return Limits(low, high, sum(not low <= value <= high for value in known))


def within(values: Sequence[float], limits: Limits) -> list[float]:
    """`values`, those outside moved to the nearest value inside."""
    inside = [value for value in values if limits.low <= value <= limits.high]
    return [min(max(value, min(inside)), max(inside)) for value in values]


def trial_value(trial: TrialRecord, direction: str) -> float | None:
    """The trial's value; for one that was stopped without, its best epoch so far."""
    if (value := finite(trial.value)) is not None or trial.status == "failed":
        return value
    seen = [value for value in map(finite, trial.history) if value is not None]
    return (max(seen) if direction == "maximize" else min(seen)) if seen else None


def history(study: StudyResult) -> History:
    """Values of all trials in the order they were started, and the best completed one so far."""
    trials = sorted(study.trials, key=lambda trial: trial.number)
    valued = [(trial, trial_value(trial, study.direction)) for trial in trials]
    points = tuple(Point(trial.number, value, trial.status) for trial, value in valued if value is not None)
    best: list[tuple[int, float]] = []
    sign = 1 if study.direction == "maximize" else -1
    for point in points:
        if point.status == "completed" and (not best or sign * point.value > sign * best[-1][1]):
            best.append((point.number, point.value))
    if best:
        best.append((trials[-1].number, best[-1][1]))
    return History(points, tuple(best), view_limits((point.value for point in points), study.direction))


def learning_curves(study: StudyResult) -> Curves:
    """One curve per trial that finished an epoch."""
    curves = tuple(
        Curve(trial.number, trial.status, values, len(values) if trial.status == "pruned" else None)
        for trial in sorted(study.trials, key=lambda trial: trial.number)
        if (values := tuple(map(finite, trial.history))) and any(value is not None for value in values)
    )
    seen = (value for curve in curves for value in curve.values if value is not None)
    return Curves(curves, view_limits(seen, study.direction))


def pruning(study: StudyResult, *, results: Mapping[int, RunResult]) -> Pruning:
    """How many trials were stopped, when, and an estimate of the seconds that this saved.

    A stopped trial would have run as much of its planned epochs as completed trials ran of theirs, each epoch taking as
    long as its own epochs took.
    """
    stopped = [trial for trial in study.trials if trial.status == "pruned"]
    counted = Counter(math.ceil(trial.epochs) for trial in stopped)
    by_epoch = dict(sorted((study.pruned_by_epoch or counted).items()))
    usual = _usual_share(study, results)
    saved = [_seconds_saved(trial, _planned(trial, study, results), usual) for trial in stopped]
    return Pruning(
        stopped=len(stopped),
        ended=sum(trial.status != "running" for trial in study.trials),
        early=sum(count for epoch, count in by_epoch.items() if epoch <= EARLY_EPOCHS),
        by_epoch=by_epoch,
        seconds_saved=None if usual is None else math.fsum(saved),
    )


def _planned(trial: TrialRecord, study: StudyResult, results: Mapping[int, RunResult]) -> float:
    """Epochs of the trial's config; where no record says, those of the longest trial."""
    configs = [results[trial.number].config] if trial.number in results else []
    configs += [study.best.config] if study.best else []
    written = [trial.params.get("train.epochs"), *(_train_epochs(config) for config in configs)]
    known = [epochs for epochs in map(finite, written) if epochs]
    return known[0] if known else max(trial.epochs for trial in study.trials)


def _train_epochs(config: Mapping[str, Any]) -> Any:
    train = config.get("train")
    return train.get("epochs") if isinstance(train, Mapping) else None


def _usual_share(study: StudyResult, results: Mapping[int, RunResult]) -> float | None:
    completed = [trial for trial in study.trials if trial.status == "completed"]
    planned = [(trial.epochs, _planned(trial, study, results)) for trial in completed]
    shares = [min(1.0, epochs / most) for epochs, most in planned if most > 0]
    return fmean(shares) if shares else None


def _seconds_saved(trial: TrialRecord, planned: float, usual: float | None) -> float:
    if usual is None or trial.epochs <= 0:
        return 0.0
    return trial.seconds / trial.epochs * max(0.0, usual * planned - trial.epochs)


def share_saved(kept: int, keep_all: int) -> float | None:
    """Share of the bytes of keeping everything that was not kept; None where that saves nothing.

    The folder of a small run may well hold more: its export has a tokenizer, which no checkpoint of the weights has.
    """
    return 1 - kept / keep_all if kept < keep_all else None


def class_table(metrics: Mapping[str, Any]) -> ClassTable | None:
    """`per_label` of a run's metrics: label -> metric -> number. None where it is absent or of another shape."""
    per_label = metrics.get("per_label")
    if not isinstance(per_label, Mapping) or not all(isinstance(row, Mapping) for row in per_label.values()):
        return None
    columns = tuple(dict.fromkeys(str(name) for row in per_label.values() for name in row))
    rows = tuple((str(label), tuple(finite(row.get(name)) for name in columns)) for label, row in per_label.items())
    return ClassTable(columns, rows) if columns else None


def scalars(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """The metrics that are single numbers; a null (undefined) metric counts, nested values do not."""
    return {name: finite(value) for name, value in metrics.items() if value is None or isinstance(value, int | float)}


def run_curves(metrics: Sequence[Mapping[str, Any]]) -> RunCurves:
    """Training loss and validation metrics from parsed `metrics.jsonl` lines.

    Names are `<split>/<metric>`. Of the training metrics, `train/loss` and `train/lr` are drawn.
    """
    unit = "epoch" if metrics and all(finite(line.get("epoch")) is not None for line in metrics) else "step"
    found: dict[str, Series] = {}
    ordered = sorted(metrics, key=lambda line: str(line.get("name")))
    for name, lines in groupby(ordered, key=lambda line: str(line.get("name"))):
        found[name] = _series(list(lines), unit)
    loss, rate = found.get("train/loss"), found.get("train/lr")
    scores = {name.removeprefix("validation/"): s for name, s in found.items() if name.startswith("validation/")}
    thin = loss and thinned(loss)
    return RunCurves(unit, thin, thin and smoothed(thin), rate and thinned(rate), scores)


def _series(lines: list[Mapping[str, Any]], unit: str) -> Series:
    points = sorted(((finite(line.get(unit)) or 0.0, finite(line.get("value"))) for line in lines), key=lambda p: p[0])
    return Series(tuple(x for x, _ in points), tuple(y for _, y in points))


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
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
