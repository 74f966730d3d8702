"""A comparison as one picture: four charts and what a score costs."""

from typing import TYPE_CHECKING

from tunery.errors import shortened
from tunery.report.charts.comparison_charts import (
    ROW,
    Rows,
    bar_panel,
    draw_trade_off,
    label_points,
    log_panel,
    score_panel,
)
from tunery.report.charts.figure import Palette, Size, light_palette, render_png
from tunery.report.compute.comparison import memory_cost, ranked, score_intervals, time_cost, trade_off, trainable_cost
from tunery.report.text.comparison_table import scored_title
from tunery.report.text.formatting import plural
from tunery.report.text.method_names import comparison_to_read
from tunery.schema.results.comparison import ComparisonResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 1600


def comparison_png(result: ComparisonResult) -> bytes:
    """Score, trainable parameters, training time, peak memory, and score against time, 1600 pixels wide, as PNG."""
    result, palette = comparison_to_read(result), light_palette()
    height = 420 + 2 * max(300, 40 + (ROW + 5) * len(result.methods))
    return render_png(
        lambda figure: _fill(figure, result, palette), size=Size(_WIDTH, height, narrow=False), palette=palette
    )


def _fill(figure: "Figure", result: ComparisonResult, palette: Palette) -> None:
    axes_by_name = figure.subplot_mosaic([["score", "parameters"], ["time", "memory"], ["trade", "trade"]])
    rows = Rows(tuple(method.method for method in ranked(result)), result.baseline)
    panels = {
        "score": score_panel(score_intervals(result), title=scored_title(result)),
        "parameters": log_panel(trainable_cost(result)),
        "time": bar_panel(time_cost(result)),
        "memory": bar_panel(memory_cost(result)),
    }
    for name, panel in panels.items():
        panel(axes_by_name[name], rows, palette)
    title = (
        f"{shortened(result.name, 60)}: {plural(len(result.methods), 'method')}, {plural(len(result.seeds), 'seed')}"
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=16, color=palette["ink"])
    legend_text = (
        "dot: mean; line: 95 % interval; small dots: seeds; grey: baseline; orange: Pareto-optimal in score and time"
    )
    figure.supxlabel(legend_text, x=0.01, ha="left", fontsize=11, color=palette["muted"])
    trade, axes = trade_off(result, time_cost(result)), axes_by_name["trade"]
    draw_trade_off(axes, trade, title=scored_title(result), palette=palette)
    axes.set_title(f"{scored_title(result)} against training time")
    label_points(figure, [(axes, trade)], baseline=result.baseline, palette=palette)
