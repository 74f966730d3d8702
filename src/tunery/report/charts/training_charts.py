"""Drawings of how runs and trials went, as SVG for a page: values, learning curves, parameters, losses, rates.

Colours are CSS variables of the page, so that one drawing serves light and dark; every chart can be drawn for a wide
page and for a phone.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tunery.errors import shortened
from tunery.report.charts.figure import PLACEHOLDERS, Size, render_chart
from tunery.report.compute.parallel import SHADES, Parallel
from tunery.report.compute.parameter_axes import Axis
from tunery.report.compute.run_and_study import Curve, Curves, History, Limits, RunCurves, Series, with_margin
from tunery.report.markup import Html
from tunery.report.text.formatting import metric_name
from tunery.schema.results.run import PretrainRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_MARKS: Final = {"pruned": ("stopped", "x"), "running": ("muted", "D"), "completed": ("done", "o")}
"""Status -> colour and mark of a trial's value."""

_MANY = 150
"""From so many trials on, lines and dots are drawn thinner."""

_LONGEST_NAME = 18


def history_chart(history: History, *, objective: str, best: int | None, size: Size) -> Html:
    """Every trial's value as a dot, the best so far as a step line, the winner ringed."""

    def draw(axes: "Axes") -> None:
        area = 22 if len(history.points) < _MANY else 9
        for status, (colour, marker) in _MARKS.items():
            points = [(p.number, p.value) for p in history.points if p.status == status]
            big = 2 * area if marker == "x" else area
            axes.scatter(*_columns(points), s=big, marker=marker, linewidth=1.5, color=PLACEHOLDERS[colour], alpha=0.9)
        axes.step(*_columns(history.best), where="post", color=PLACEHOLDERS["best"], linewidth=2)
        ring = [(p.number, p.value) for p in history.points if p.number == best]
        axes.scatter(*_columns(ring), s=90, facecolor="none", edgecolor=PLACEHOLDERS["best"], linewidth=2, zorder=5)
        numbers = [p.number for p in history.points]
        room = 0.6 + (max(numbers) - min(numbers)) / 100
        axes.set_xlim(min(numbers) - room, max(numbers) + room)
        _scale(axes, x="trial", y=objective, limits=history.limits)

    return render_chart(
        "history", draw, size=size, label=f"{metric_name(objective)} of every trial and the best so far"
    )


def curves_chart(curves: Curves, *, objective: str, best: int | None, size: Size) -> Html:
    """The objective after each epoch; pruned trials end in a cross, the winner stands out."""

    def draw(axes: "Axes") -> None:
        thin = 1.0 if len(curves.curves) < _MANY else 0.5
        winner = [curve for curve in curves.curves if curve.number == best]
        stopped = [curve for curve in curves.curves if curve.stopped_at is not None]
        others = [curve for curve in curves.curves if curve.stopped_at is None and curve.number != best]
        _bundle(axes, map(_path, stopped), colour="stopped", width=thin, alpha=_faint(len(stopped)))
        _bundle(axes, map(_path, others), colour="done", width=1.3 * thin, alpha=0.6)
        points_of_curves = [[(i + 1, v) for i, v in enumerate(curve.values) if v is not None] for curve in stopped]
        ends = [points[-1] for points in points_of_curves if points]
        axes.scatter(*_columns(ends), s=44 * thin, marker="x", linewidth=1.5, color=PLACEHOLDERS["stopped"], zorder=3)
        _bundle(axes, map(_path, winner), colour="best", width=2.6, alpha=1)
        lone = [(1, curve.values[0]) for curve in curves.curves if len(curve.values) == 1 and curve.stopped_at is None]
        axes.scatter(*_columns(lone), s=18, color=PLACEHOLDERS["done"])
        longest = max((len(curve.values) for curve in curves.curves), default=1)
        axes.set_xlim(0.9, max(2, longest) + 0.1)
        _scale(axes, x="epoch", y=objective, limits=curves.limits)

    return render_chart("curves", draw, size=size, label=f"{metric_name(objective)} of every trial after each epoch")


def parallel_chart(parallel: Parallel, *, best: int | None, size: Size) -> Html:
    """One axis per parameter, the objective last; on a phone the axes lie and are stacked."""

    def draw(axes: "Axes") -> None:
        axes.set_axis_off()
        rows = np.array([[np.nan if p is None else p for p in axis.positions] for axis in parallel.axes], dtype=float)
        paths = [np.column_stack([np.arange(len(parallel.axes)), rows[:, i]]) for i in range(len(parallel.lines))]
        thin = 1.0 if len(parallel.lines) < _MANY else 0.55
        for shade in (None, *range(SHADES)):
            group = [p for p, line in zip(paths, parallel.lines, strict=True) if line.shade == shade]
            colour = "stopped" if shade is None else f"shade{shade}"
            alpha = _faint(len(group)) if shade is None else 0.45 + 0.09 * shade
            _bundle(axes, (_turned(path, size) for path in group), colour=colour, width=1.4 * thin, alpha=alpha)
        winner = [path for path, line in zip(paths, parallel.lines, strict=True) if line.number == best]
        _bundle(axes, (_turned(path, size) for path in winner), colour="best", width=2.8, alpha=1)
        for index, axis in enumerate(parallel.axes):
            _parameter_axis(axes, axis, index=index, size=size)
        span = (-0.35, len(parallel.axes) - 0.45)
        axes.set(xlim=(-0.02, 1.02), ylim=span[::-1]) if size.narrow else axes.set(xlim=span, ylim=(-0.04, 1.02))

    return render_chart("parallel", draw, size=size, label="Parameters of every trial and the objective they led to")


def loss_chart(curves: RunCurves, *, size: Size) -> Html:
    """Training loss as logged and smoothed, and the validation loss."""

    def draw(axes: "Axes") -> None:
        _lines(axes, curves.train_loss, colour="stopped", width=1, alpha=0.6)
        _lines(axes, curves.smooth_loss, colour="done", width=2)
        _lines(axes, curves.validation.get("loss"), colour="best", width=2, marker="o")
        drawn = [s for s in (curves.train_loss, curves.validation.get("loss")) if s]
        _scale(axes, x=curves.unit, y="loss", limits=_limits(drawn))

    return render_chart("loss", draw, size=size, label="Training and validation loss")


def held_out_chart(stage: PretrainRecord, *, size: Size) -> Html:
    """Loss of the held-out texts after each epoch of continued pretraining, the epoch that was taken ringed."""
    series = Series(tuple(range(1, len(stage.losses) + 1)), stage.losses)

    def draw(axes: "Axes") -> None:
        _lines(axes, series, colour="done", width=2, marker="o")
        taken = [point for point in zip(series.x, series.y, strict=True) if point[1] == stage.loss][:1]
        axes.scatter(*_columns(taken), s=90, facecolor="none", edgecolor=PLACEHOLDERS["best"], linewidth=2, zorder=5)
        _scale(axes, x="epoch", y="loss", limits=_limits([series]))

    return render_chart(f"held-out-{stage.name}", draw, size=size, label=f"Loss of held-out texts of {stage.name}")


def rate_chart(curves: RunCurves, *, size: Size) -> Html:
    """The learning rate as the schedule moved it."""

    def draw(axes: "Axes") -> None:
        _lines(axes, curves.rate, colour="done", width=2)
        highest = max((value for value in (curves.rate.y if curves.rate else ()) if value is not None), default=1.0)
        _scale(axes, x=curves.unit, y="learning rate", limits=Limits(0.0, 1.05 * (highest or 1.0), 0))
        axes.yaxis.set_major_formatter("{x:g}")

    return render_chart("rate", draw, size=size, label="Learning rate")


def metric_chart(curves: RunCurves, *, objective: str, best_epoch: int | None, size: Size) -> Html:
    """The objective on the validation split after each epoch, the restored one ringed."""

    def draw(axes: "Axes") -> None:
        series = curves.validation[objective]
        _lines(axes, series, colour="done", width=2, marker="o")
        points = list(zip(series.x, series.y, strict=True))
        restored = points[best_epoch - 1 : best_epoch] if best_epoch else []
        axes.scatter(*_columns(restored), s=90, facecolor="none", edgecolor=PLACEHOLDERS["best"], linewidth=2, zorder=5)
        _scale(axes, x=curves.unit, y=objective, limits=_limits([series]))

    return render_chart("metric", draw, size=size, label=f"{metric_name(objective)} on the validation split")


def _columns(points: Iterable[tuple[float, float | None]]) -> tuple[list[float], list[float]]:
    with_value = [(x, y) for x, y in points if y is not None]
    return [x for x, _ in with_value], [y for _, y in with_value]


def _path(curve: Curve) -> np.ndarray:
    """Points of a curve (epochs, 2); NaN where the value is missing."""
    return np.array([(i + 1, np.nan if v is None else v) for i, v in enumerate(curve.values)], dtype=float)


def _bundle(axes: "Axes", paths: Iterable[np.ndarray], *, colour: str, width: float, alpha: float) -> None:
    """Lines of one colour; each is broken where it has no value, and a point alone between two gaps is a dot."""
    from matplotlib.collections import LineCollection

    pieces = [piece for path in paths for piece in _pieces(path)]
    lines = [piece for piece in pieces if len(piece) > 1]
    axes.add_collection(
        LineCollection(lines, colors=PLACEHOLDERS[colour], linewidths=width, alpha=alpha), autolim=False
    )
    dots = [tuple(piece[0]) for piece in pieces if len(piece) == 1]
    axes.scatter(*_columns(dots), s=4 * width**2, color=PLACEHOLDERS[colour], alpha=alpha)


def _faint(lines: int) -> float:
    """Opacity of a bundle in the background: the more lines, the fainter each."""
    return min(0.8, max(0.15, 30 / max(1, lines)))


def _pieces(path: np.ndarray) -> list[np.ndarray]:
    """The stretches of a path that have values."""
    has_value = ~np.isnan(path).any(axis=1)
    runs = np.split(np.arange(len(path)), np.flatnonzero(np.diff(has_value.astype(int))) + 1)
    return [path[run] for run in runs if len(run) and has_value[run[0]]]


def _turned(path: np.ndarray, size: Size) -> np.ndarray:
    return path[:, ::-1] if size.narrow else path


def _parameter_axis(axes: "Axes", axis: Axis, *, index: int, size: Size) -> None:
    """A line with ticks and a name: upright on a wide page, lying on a narrow one."""
    line, ends = [index, index], [0, 1]
    axes.plot(*((ends, line) if size.narrow else (line, ends)), color=PLACEHOLDERS["muted"], linewidth=1, zorder=3)
    # a patch in the colour of the panel behind a text, so that lines do not cross it
    halo: Any = {"bbox": {"facecolor": PLACEHOLDERS["panel"], "edgecolor": "none", "pad": 1.2, "alpha": 0.75}}
    if size.narrow:
        axes.text(0, index - 0.17, shortened(axis.name, 40), ha="left", va="bottom", fontsize=12, zorder=6, **halo)
    else:
        section, dot, key = (shortened(text, _LONGEST_NAME) for text in axis.name.partition("."))
        name = f"{section}{dot}\n{key}" if dot else section
        axes.text(index, -0.07, name, ha="center", va="top", fontsize=12, zorder=6)
    for position, text in axis.ticks:
        short = shortened(text, max(4, 46 // len(axis.ticks)) if size.narrow else _LONGEST_NAME)
        x, y = (position, index + 0.1) if size.narrow else (index + 0.05, position)
        side = "left" if position == 0 else "right" if position == 1 else "center"
        how: dict[str, Any] = {"ha": side, "va": "top"} if size.narrow else {"ha": "left", "va": "center"}
        axes.text(x, y, short, fontsize=11, color=PLACEHOLDERS["muted"], zorder=6, **how, **halo)


def _lines(
    axes: "Axes", series: Series | None, *, colour: str, width: float, alpha: float = 1, marker: str | None = None
) -> None:
    if series is not None:
        y = [np.nan if value is None else value for value in series.y]
        axes.plot(series.x, y, color=PLACEHOLDERS[colour], linewidth=width, alpha=alpha, marker=marker, markersize=4)


def _limits(series: Sequence[Series]) -> Limits:
    values = [value for one in series for value in one.y if value is not None]
    if not values:
        return Limits(0.0, 1.0, 0)
    return Limits(*with_margin(min(values), max(values)), 0)


def _scale(axes: "Axes", *, x: str, y: str, limits: Limits) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(metric_name(y), color=PLACEHOLDERS["muted"])
    axes.set_xlabel(x)
    axes.set_ylim(limits.low, limits.high)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.tick_params(length=3)
