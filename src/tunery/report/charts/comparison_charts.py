"""Drawings of a comparison: methods as rows, scores as dots with intervals, costs as bars from zero or dots on a
logarithmic axis, and what a score costs.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tunery.errors import shortened
from tunery.report.charts.cost_axes import CostAndScore, logarithmic, name_points, stairs
from tunery.report.charts.figure import PLACEHOLDERS, Palette, Size, render_figure
from tunery.report.compute.comparison import Cost, Interval, Intervals, TradeOff
from tunery.report.markup import Html
from tunery.report.text.formatting import score, short_count, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW: Final = 27
"""Pixels between two methods."""

_AROUND: Final = 74
"""Pixels above and below the rows, for the title and the labels of the axis."""


class Rows(NamedTuple):
    """The methods from top to bottom, and which of them the others are compared with."""

    methods: tuple[str, ...]
    baseline: str
    narrow: bool = False

    @property
    def pixels(self) -> int:
        """Height of a chart with these rows."""
        return _AROUND + ROW * len(self.methods)


Panel = Callable[["Axes", Rows, Palette], None]


def score_panel(scores: Intervals, *, title: str) -> Panel:
    """Mean, interval and seeds of every method; a dashed line marks the baseline's mean."""

    def draw(axes: "Axes", rows: Rows, palette: Palette) -> None:
        against = next((row.value for row in scores.rows if row.method == rows.baseline), None)
        if against is not None and scores.limits.low <= against <= scores.limits.high:
            axes.axvline(against, color=palette["muted"], linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        _interval_rows(axes, scores, rows, palette, text=score)
        axes.set_title(title)

    return draw


def difference_panel(differences: Intervals) -> Panel:
    """Difference of every method to the baseline; hollow where no test bears it out."""

    def draw(axes: "Axes", rows: Rows, palette: Palette) -> None:
        axes.axvline(0, color=palette["muted"], linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        _interval_rows(axes, differences, rows, palette, text=signed)
        axes.set_title(f"difference to the baseline, {shortened(rows.baseline, 22)}")

    return draw


def bar_panel(cost: Cost) -> Panel:
    """A bar from zero for every method."""

    def draw(axes: "Axes", rows: Rows, palette: Palette) -> None:
        for position, method in enumerate(rows.methods):
            value = cost.values.get(method)
            axes.barh(position, value or 0.0, height=0.5, color=palette[_colour(method, rows)])
            _beside(axes, position, "\N{EN DASH}" if value is None else _short(value), palette)
        axes.set_xlim(0, 1.04 * max(cost.values.values(), default=1.0))
        _method_axis(axes, rows, palette)
        axes.set_title(cost.title)

    return draw


def log_panel(cost: Cost) -> Panel:
    """A dot for every method on a logarithmic axis."""

    def draw(axes: "Axes", rows: Rows, palette: Palette) -> None:
        for position, method in enumerate(rows.methods):
            value = cost.values.get(method)
            if value is not None:
                axes.scatter(value, position, s=50, color=palette[_colour(method, rows)], zorder=3)
            _beside(axes, position, "\N{EN DASH}" if value is None else short_count(value), palette)
        _method_axis(axes, rows, palette)
        logarithmic(axes, list(cost.values.values()))
        axes.set_title(f"{cost.title}, log scale")

    return draw


def rows_chart(name: str, panels: Sequence[Panel], rows: Rows, *, size: Size, label: str) -> Html:
    """Panels that share their rows: side by side on a page, one below the other on a phone."""

    def draw(figure: "Figure") -> None:
        shape = (len(panels), 1) if size.narrow else (1, len(panels))
        grid = figure.subplots(*shape, squeeze=False)
        for index, (panel, axes) in enumerate(zip(panels, grid.flat, strict=True)):
            panel(axes, rows._replace(narrow=size.narrow), PLACEHOLDERS)
            if index and not size.narrow:
                axes.set_yticklabels([])

    height = rows.pixels * (len(panels) if size.narrow else 1)
    return render_figure(name, draw, size=size._replace(height=height), label=label)


def trade_off_chart(trades: Sequence[TradeOff], *, title: str, baseline: str, size: Size, label: str) -> Html:
    """Score against every cost: the first large, the others below it; on a phone one below the other."""

    def draw(figure: "Figure") -> None:
        below = "".join(str(index) for index in range(1, len(trades)))
        layout: list[Any] = [[str(index)] for index in range(len(trades))]
        if below and not size.narrow:
            layout = [["0"] * len(below), list(below)]
        axes_by_name = figure.subplot_mosaic(layout, height_ratios=[4, 3] if below and not size.narrow else None)
        charts = [axes_by_name[str(index)] for index in range(len(trades))]
        for axes, trade in zip(charts, trades, strict=True):
            draw_trade_off(axes, trade, title=title, palette=PLACEHOLDERS)
        label_points(figure, list(zip(charts, trades, strict=True)), baseline=baseline, palette=PLACEHOLDERS)

    return render_figure("trade-off", draw, size=size, label=label)


def draw_trade_off(axes: "Axes", trade: TradeOff, *, title: str, palette: Palette) -> None:
    """One point per method, the front as a line; names are added when the layout is known."""
    if trade.cost.logarithmic:
        logarithmic(axes, list(trade.cost.values.values()))
    front = list(zip(*_stairs(trade), strict=True))
    if front:
        axes.plot(*front, color=palette["best"], linewidth=1.6, zorder=2)
    for point in trade.points:
        beyond = "v" if point.score < point.shown else "^"
        mark = "o" if point.score == point.shown else beyond
        axes.scatter(
            point.cost, point.shown, s=46, marker=mark, color=palette["best" if point.on_front else "done"], zorder=3
        )
    axes.margins(x=0.06)
    axes.set_ylim(trade.limits.low, trade.limits.high)
    axes.grid(visible=True, axis="both")
    axes.tick_params(length=0)
    axes.set_title(title)
    axes.set_xlabel(trade.cost.title + (", log scale" if trade.cost.logarithmic else ""))


def label_points(
    figure: "Figure", charts: Sequence[tuple["Axes", TradeOff]], *, baseline: str, palette: Palette
) -> None:
    """Write every method's name beside its point; the layout of the figure stays as it is from here on."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes, trade in charts:
        names = []
        for point in trade.points:
            value = "" if point.score == point.shown else f" {score(point.score)}"
            names.append(shortened(point.method, 22) + value + (" (baseline)" if point.method == baseline else ""))
        coordinates = [(point.cost, point.shown) for point in trade.points]
        name_points(axes, names, coordinates, line=_stairs(trade), palette=palette)


def _stairs(trade: TradeOff) -> list[CostAndScore]:
    return stairs([(point.cost, point.shown) for point in trade.front])


def _interval_rows(
    axes: "Axes", intervals: Intervals, rows: Rows, palette: Palette, *, text: Callable[[Any], str]
) -> None:
    by_method = {row.method: row for row in intervals.rows}
    axes.set_xlim(intervals.limits.low, intervals.limits.high)
    for position, method in enumerate(rows.methods):
        row, colour = by_method[method], palette[_colour(method, rows)]
        _beside(axes, position, text(row.value), palette)
        if row.value is None:
            continue
        if intervals.limits.low <= row.value <= intervals.limits.high:
            _interval(axes, row, (row.value, position), colour=colour, palette=palette)
        else:  # an arrow at the edge that the value lies beyond
            x, marker = (0.988, ">") if row.value > intervals.limits.high else (0.012, "<")
            axes.scatter(x, position, s=52, marker=marker, color=colour, transform=axes.get_yaxis_transform())
    _method_axis(axes, rows, palette)


def _interval(axes: "Axes", row: Interval, at: tuple[float, int], *, colour: str, palette: Palette) -> None:
    value, position = at
    if row.low is not None and row.high is not None:
        axes.plot(
            [row.low, row.high], [position, position], color=colour, linewidth=2.4, solid_capstyle="butt", zorder=2
        )
    if len(row.dots) > 1:
        axes.scatter(row.dots, [position + 0.3] * len(row.dots), s=14, color=colour, alpha=0.6, linewidth=0, zorder=3)
    face = colour if row.certain else palette["panel"]
    axes.scatter([value], [position], s=52, facecolor=face, edgecolor=colour, linewidth=1.6, zorder=4)


def _beside(axes: "Axes", position: int, text: str, palette: Palette) -> None:
    """The number itself, in a column to the right of the chart."""
    across = axes.get_yaxis_transform()
    axes.text(1.02, position, text, transform=across, ha="left", va="center", fontsize=11, color=palette["muted"])


def _method_axis(axes: "Axes", rows: Rows, palette: Palette) -> None:
    from matplotlib.ticker import MaxNLocator

    names = [shortened(name, 16 if rows.narrow else 24) for name in rows.methods]
    axes.set_yticks(range(len(names)), labels=names, color=palette["ink"])
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.xaxis.set_major_locator(MaxNLocator(4 if rows.narrow else 5, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3))
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.tick_params(length=0)


def _colour(method: str, rows: Rows) -> str:
    return "stopped" if method == rows.baseline else "done"


def _short(value: float) -> str:
    return f"{value:#.3g}".rstrip(".") if value < 1000 else f"{value:,.0f}"
