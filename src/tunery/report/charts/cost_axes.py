"""What drawings of a score against a cost share: the line through a front, names beside points, an axis of costs."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tunery.report.charts.figure import Palette
from tunery.report.charts.label_placement import Box, Pixel, placed
from tunery.report.text.formatting import short_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CostAndScore = tuple[float, float]

_FAR: Final = 15
"""Pixels from which a name is tied to its point by a line."""


def stairs(corners: Sequence[CostAndScore]) -> list[CostAndScore]:
    """A line through points that changes at a point, not between two: the best score up to each cost."""
    line: list[CostAndScore] = []
    for x, y in corners:
        line += [(x, line[-1][1])] if line else []
        line.append((x, y))
    return line


def name_points(
    axes: "Axes",
    names: Sequence[str],
    points: Sequence[CostAndScore],
    *,
    line: Sequence[CostAndScore],
    palette: Palette,
) -> None:
    """Write a name beside every point, off `line` where there is room. The layout of the figure must be final."""
    texts = [axes.text(0, 0, name, fontsize=11, ha="center", va="center", zorder=5) for name in names]
    sizes = [(extent.width + 4, extent.height + 2) for extent in (text.get_window_extent() for text in texts)]
    frame = axes.get_window_extent()
    within = Box(frame.x0, frame.y0, frame.x1, frame.y1)
    pixels = [_pixel(axes, *point) for point in points]
    boxes = placed(pixels, sizes, within=within, avoided=_along([_pixel(axes, *corner) for corner in line]))
    back = axes.transData.inverted()
    for text, box, point in zip(texts, boxes, pixels, strict=True):
        x, y = back.transform(((box.left + box.right) / 2, (box.bottom + box.top) / 2))
        text.set_position((float(x), float(y)))
        end = box.nearest(point)
        if math.dist(end, point) > _FAR:
            xs, ys = zip(*back.transform([point, end]), strict=True)
            axes.plot(xs, ys, color=palette["muted"], linewidth=0.8, zorder=2)


def _pixel(axes: "Axes", x: float, y: float) -> Pixel:
    pixel = axes.transData.transform((x, y))
    return float(pixel[0]), float(pixel[1])


def _along(line: Sequence[Pixel]) -> list[Pixel]:
    """Points on the line, a few pixels apart."""
    points = []
    for a, b in zip(line, line[1:], strict=False):
        steps = 1 + int(math.dist(a, b) // 5)
        points += [(a[0] + s / steps * (b[0] - a[0]), a[1] + s / steps * (b[1] - a[1])) for s in range(steps + 1)]
    return points


def logarithmic(axes: "Axes", values: Sequence[float]) -> None:
    """A logarithmic x axis around positive values, with ticks that a person reads."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    low, high = min(values, default=1.0), max(values, default=10.0)
    axes.set_xscale("log")
    axes.set_xlim(low / 1.6, high * 1.6)
    steps = (1.0,) if high > 100 * low else (1.0, 2.0, 5.0)
    axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
