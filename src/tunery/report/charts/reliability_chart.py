"""A drawing of how often probabilities are right (DeGroot & Fienberg 1983, The Statistician 32)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from tunery.report.charts.figure import PLACEHOLDERS, Size, render_chart
from tunery.report.markup import Html

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AREA: Final = 240.0
"""Of the dot of a bin that has all rows, in square points."""
_LEAST: Final = 8.0


def reliability_chart(bins: Mapping[str, Sequence[tuple[float, float, float]]], *, size: Size) -> Html:
    """Share that is right against the probability that was told, a dot a bin.

    Args:
        bins: by colour (`done`, `stopped`): rows of each bin, their mean probability, the share of them that is right.
    """

    def draw(axes: "Axes") -> None:
        axes.plot((0, 1), (0, 1), color=PLACEHOLDERS["best"], linewidth=2)
        for colour, dots in bins.items():
            rows, told, right = zip(*dots, strict=True)
            areas = [_LEAST + _AREA * number / sum(rows) for number in rows]
            axes.plot(told, right, color=PLACEHOLDERS[colour], linewidth=1, alpha=0.6)
            axes.scatter(told, right, s=areas, color=PLACEHOLDERS[colour], alpha=0.8, zorder=3)
        axes.set(xlim=(0, 1), ylim=(-0.03, 1.03), xlabel="probability that is told")
        axes.set_title("share that is right", color=PLACEHOLDERS["muted"])
        axes.tick_params(length=3)

    return render_chart("reliability", draw, size=size, label="How often probabilities are right")
