"""Records become numbers, numbers become charts, charts become pages. Reads no run folder and knows no ML stack.

compute.py draws no line, charts.py computes no number, html.py only places what they return.
"""

from tunery.report.html import run_html, study_html
from tunery.report.leaderboard import leaderboard_csv, leaderboard_rows

__all__ = ["leaderboard_csv", "leaderboard_rows", "run_html", "study_html"]
