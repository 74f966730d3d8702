"""Records become numbers, numbers become charts, charts become pages. Reads no run folder and knows no ML stack.

compute/   numbers, and the positions at which they are drawn
text/      numbers, names and findings as a person reads them
charts/    drawings of what was computed
markup     HTML that is escaped by construction
pages/     sections and tables, put together to pages
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
