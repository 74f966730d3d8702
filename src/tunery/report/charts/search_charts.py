"""Drawings of what a search found: slices, objectives against each other, how far the trials came."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tunery.errors import shortened
from tunery.report.charts.cost_axes import logarithmic, name_points, stairs
from tunery.report.charts.figure import PLACEHOLDERS, Size, render_chart, render_figure
from tunery.report.compute.parallel import SHADES
from tunery.report.compute.pareto_front import Plane, TrialPoint
from tunery.report.compute.pruning import Block, Reach
from tunery.report.compute.slices import Dot, Slice, Slices
from tunery.report.markup import Html
from tunery.report.text.formatting import metric_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SLICES_BESIDE: Final = 3
"""Slices in one row of a wide page."""

_STATUS: Final = {"completed": "done", "pruned": "stopped", "failed": "failed", "running": "muted"}
"""Status -> colour of a bar."""

SHADE_FROM: Final = (0.03, 0.1, 0.25, 0.5, 0.8)
"""Share of a block's trials from which it has the next darker shade; steps widen, since most trials end early."""

_MANY: Final = 150
"""From so many dots on, each is drawn smaller."""

_LETTER: Final = 6.5
"""Width of a letter beside an axis, in pixels."""

_MOST_NAMED: Final = 10
"""Up to so many trials of a front have their number beside them."""


def slice_chart(slices: Slices, *, best: int | None, size: Size) -> Html:
    """One small chart for each parameter, all on one scale of the objective."""
    columns = 1 if size.narrow else min(SLICES_BESIDE, len(slices.panels))
    rows = -(-len(slices.panels) // columns)

    def draw(figure: "Figure") -> None:
        figure.set_layout_engine("constrained", h_pad=0.12)
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes in grid.flat[len(slices.panels) :]:
            axes.set_axis_off()
        for axes, panel in zip(grid.flat, slices.panels, strict=False):
            axes.set_ylim(slices.limits.low, slices.limits.high)
            _slice(axes, panel, best=best, width=size.width / columns)

    height = size.height * rows
    label = "The objective against the most important parameters"
    return render_figure("slices", draw, size=size._replace(height=height), label=label)


def _slice(axes: "Axes", panel: Slice, *, best: int | None, width: float) -> None:
    area = 16 if len(panel.dots) < _MANY else 7
    pruned = [dot for dot in panel.dots if dot.status == "pruned"]
    completed = [dot for dot in panel.dots if dot.status == "completed"]
    axes.scatter(
        *_positions_and_values(pruned), s=2 * area, marker="x", linewidth=1.3, color=PLACEHOLDERS["stopped"], alpha=0.9
    )
    axes.scatter(*_positions_and_values(completed), s=area, color=PLACEHOLDERS["done"], alpha=0.75, linewidth=0)
    winner = [dot for dot in panel.dots if dot.number == best]
    axes.scatter(
        *_positions_and_values(winner), s=80, facecolor="none", edgecolor=PLACEHOLDERS["best"], linewidth=2, zorder=5
    )
    reach = 0.32 / len(panel.axis.ticks)
    for centre, middle in panel.middles:
        axes.plot([centre - reach, centre + reach], [middle, middle], color=PLACEHOLDERS["ink"], linewidth=2, zorder=4)
    axes.set_title(shortened(panel.axis.name, 34) + (" (log)" if panel.axis.kind == "log" else ""))
    axes.set_xlim(-0.03, 1.03)
    _slice_ticks(axes, panel, width=width)


def _slice_ticks(axes: "Axes", panel: Slice, *, width: float) -> None:
    letters = int(0.85 * width / len(panel.axis.ticks) / _LETTER)
    texts = [text for _, text in panel.axis.ticks]
    slanted = max(map(len, texts)) > letters < 7
    labels = [shortened(text, 14 if slanted else max(4, letters)) for text in texts]
    axes.set_xticks([position for position, _ in panel.axis.ticks], labels=labels)
    axes.tick_params(length=3)
    for label, (position, _) in zip(axes.get_xticklabels(), panel.axis.ticks, strict=True):
        side = "right" if slanted else {0.0: "left", 1.0: "right"}.get(position, "center")
        label.set(ha=side, rotation=30 if slanted else 0, rotation_mode="anchor")


def _positions_and_values(dots: Sequence[Dot]) -> tuple[list[float], list[float]]:
    return [dot.position for dot in dots], [dot.value for dot in dots]


def front_chart(planes: Sequence[Plane], *, objective: str, best: int | None, size: Size) -> Html:
    """The objective against every other: side by side on a page, one below the other on a phone."""
    rows = len(planes) if size.narrow else 1

    def draw(figure: "Figure") -> None:
        grid = figure.subplots(rows, len(planes) // rows, squeeze=False)
        for axes, plane in zip(grid.flat, planes, strict=True):
            _plane(axes, plane, objective=objective, best=best)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for axes, plane in zip(grid.flat, planes, strict=True):
            _name_front(axes, plane)

    height = size.height * rows
    label = f"{metric_name(objective)} against what else counts"
    return render_figure("front", draw, size=size._replace(height=height), label=label)


def _plane(axes: "Axes", plane: Plane, *, objective: str, best: int | None) -> None:
    if plane.logarithmic:
        logarithmic(axes, [point.x for point in plane.points])
    area = 22 if len(plane.points) < _MANY else 9
    behind = [point for point in plane.points if not point.on_front]
    front = [point for point in plane.points if point.on_front]
    axes.scatter(*_coordinates(behind), s=area, color=PLACEHOLDERS["done"], alpha=0.6, linewidth=0)
    corners = stairs(plane.stairs)
    axes.plot([x for x, _ in corners], [y for _, y in corners], color=PLACEHOLDERS["best"], linewidth=1.6, zorder=2)
    axes.scatter(*_coordinates(front), s=46, color=PLACEHOLDERS["best"], zorder=3)
    winner = [point for point in plane.points if point.number == best]
    axes.scatter(*_coordinates(winner), s=130, facecolor="none", edgecolor=PLACEHOLDERS["best"], linewidth=2, zorder=4)
    axes.set_ylim(plane.limits.low, plane.limits.high)
    axes.margins(x=0.06)
    axes.grid(visible=True, axis="both")
    axes.tick_params(length=0)
    axes.set_title(metric_name(objective))
    axes.set_xlabel(plane.title + (", log scale" if plane.logarithmic else ""))


def _coordinates(points: Sequence[TrialPoint]) -> tuple[list[float], list[float]]:
    return [point.x for point in points], [point.value for point in points]


def _name_front(axes: "Axes", plane: Plane) -> None:
    """Numbers of the trials on the front, where there are few."""
    front = [point for point in plane.points if point.on_front and plane.limits.low <= point.value <= plane.limits.high]
    if len(front) > _MOST_NAMED:
        return
    coordinates = [(point.x, point.value) for point in front]
    line = stairs(plane.stairs)
    name_points(axes, [str(point.number) for point in front], coordinates, line=line, palette=PLACEHOLDERS)


def reach_chart(reach: Reach, *, size: Size) -> Html:
    """Epochs that every trial ran: a bar for each, or a grid whose shades say how many of a block got there."""

    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import MaxNLocator

        _bars(axes, reach, size) if reach.bars else _grid(axes, reach.blocks)
        axes.set_title("epochs run", color=PLACEHOLDERS["muted"])
        axes.set_xlabel("trial")
        axes.tick_params(length=3)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(6, integer=True))

    return render_chart("reach", draw, size=size, label="How many epochs the trials ran")


def _bars(axes: "Axes", reach: Reach, size: Size) -> None:
    first, last = reach.bars[0].number, reach.bars[-1].number
    width = max(1.5, min(16.0, 0.62 * size.width / (last - first + 1)))
    for status, colour in _STATUS.items():
        bars = [bar for bar in reach.bars if bar.status == status]
        numbers, tops = [bar.number for bar in bars], [bar.epochs for bar in bars]
        axes.vlines(numbers, 0, tops, color=PLACEHOLDERS[colour], linewidth=width)
    axes.set_xlim(first - 0.7, last + 0.7)
    axes.set_ylim(0, 1.04 * max(bar.epochs for bar in reach.bars))


def _grid(axes: "Axes", blocks: Sequence[Block]) -> None:
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path

    for shade in range(SHADES):
        group = [block for block in blocks if block.share > 0 and bisect_right(SHADE_FROM, block.share) == shade]
        if group:
            path = Path.make_compound_path(*(Path(_corners(block), closed=True) for block in group))
            axes.add_collection(PathCollection([path], facecolor=PLACEHOLDERS[f"shade{shade}"], linewidth=0))
    axes.set_xlim(blocks[0].first, blocks[-1].end)
    axes.set_ylim(0, max(block.epoch_end for block in blocks))


def _corners(block: Block) -> list[tuple[float, float]]:
    left, right, low, high = block.first, block.end, block.epoch, block.epoch_end
    return [(left, low), (right, low), (right, high), (left, high), (left, low)]
