"""Records become numbers, numbers become charts, charts become pages. Reads no run folder and knows no ML stack.

`compute` draws nothing, `charts` computes nothing, `pages` puts their results in order.
"""

from tunery.report.charts.comparison_picture import comparison_png
from tunery.report.pages.html import comparison_html, run_html, study_html
from tunery.report.text.comparison_table import comparison_csv, comparison_rows
from tunery.report.text.leaderboard import leaderboard_csv, leaderboard_rows

__all__ = [
    "comparison_csv",
    "comparison_html",
    "comparison_png",
    "comparison_rows",
    "leaderboard_csv",
    "leaderboard_rows",
    "run_html",
    "study_html",
]
