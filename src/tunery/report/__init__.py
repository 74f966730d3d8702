"""Records become numbers, numbers become charts, charts become pages. Reads no run folder and knows no ML stack.

compute.py draws no line, charts.py computes no number, html.py only places what they return.
"""

from tunery.report.html import write_report, write_run_report
from tunery.report.leaderboard import leaderboard_rows, write_leaderboard

__all__ = ["leaderboard_rows", "write_leaderboard", "write_report", "write_run_report"]
