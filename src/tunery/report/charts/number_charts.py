"""Drawings of numbers that a model gives: against those that are right, and how far they are off."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tunery.report.charts.figure import PLACEHOLDERS, Size, render_figure
from tunery.report.compute.run_and_study import with_margin
from tunery.report.markup import Html

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MANY: Final = 150
"""Rows from which dots are smaller."""


def numbers_chart(pairs: Sequence[tuple[float, float]], *, half_width: float | None, size: Size) -> Html:
    """Two charts, one above the other on a phone: the model's number of each row against the right one, and how much it
    is above that.

    Args:
        pairs: the right number and the model's.
        half_width: of every interval, where there are any.
    """

    def draw(figure: "Figure") -> None:
        first, second = figure.subplots(*((2, 1) if size.narrow else (1, 2)))
        _against(first, pairs, half_width)
        _errors(second, pairs, half_width)

    label = "Numbers of the model against the right ones, and how far they are off"
    return render_figure("numbers", draw, size=size, label=label)


def _against(axes: "Axes", pairs: Sequence[tuple[float, float]], half_width: float | None) -> None:
    right, given = zip(*pairs, strict=True)
    low, high = with_margin(min(*right, *given), max(*right, *given))
    _band(axes, (low, high), (low, high), half_width)
    _dots(axes, right, given)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="right number")
    axes.set_title("number of the model", color=PLACEHOLDERS["muted"])
    _ticks(axes)


def _errors(axes: "Axes", pairs: Sequence[tuple[float, float]], half_width: float | None) -> None:
    given = [answer for _, answer in pairs]
    errors = [answer - right for right, answer in pairs]
    low, high = with_margin(min(given), max(given))
    most = max(map(abs, (*errors, half_width or 0.0)))
    _band(axes, (low, high), (0.0, 0.0), half_width)
    _dots(axes, given, errors)
    axes.set(xlim=(low, high), ylim=with_margin(-most, most), xlabel="number of the model")
    axes.set_title("model minus right", color=PLACEHOLDERS["muted"])
    _ticks(axes)


def _band(axes: "Axes", x: tuple[float, float], y: tuple[float, float], half_width: float | None) -> None:
    """The line on which answers are right, and those at the ends of the intervals."""
    axes.plot(x, y, color=PLACEHOLDERS["best"], linewidth=2)
    for shift in () if half_width is None else (-half_width, half_width):
        axes.plot(x, [value + shift for value in y], color=PLACEHOLDERS["best"], linewidth=1, linestyle="dashed")


def _dots(axes: "Axes", x: Sequence[float], y: Sequence[float]) -> None:
    axes.scatter(x, y, s=22 if len(x) < _MANY else 9, color=PLACEHOLDERS["done"], alpha=0.7, zorder=3)


def _ticks(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(length=3)
