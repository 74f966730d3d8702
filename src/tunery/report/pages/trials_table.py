"""The table of a study's trials."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tunery.report.compute.pareto_front import costs_of
from tunery.report.pages.components import number_cell, section, table
from tunery.report.pages.markup import Html, join, tag
from tunery.report.text.cost_units import COST_WORDS
from tunery.report.text.formatting import metric_name, score, value_text
from tunery.report.text.leaderboard import MEAN, NOTES, cost_column, leaderboard_rows, searched
from tunery.report.text.numbers import finite
from tunery.schema.results.study import StudyResult

FIRST_ROWS, LAST_ROWS = 200, 50
"""Rows from the top and from the end of a longer table."""

Row = Mapping[str, Any]


class Column(NamedTuple):
    """One column: its key in a row of the leaderboard, its title, whether it holds numbers, what makes its cells."""

    key: str
    title: str
    numeric: bool
    cell: Callable[[Any], Html]


def trials_section(study: StudyResult) -> Html:
    """The leaderboard; of a long one, its top and its end."""
    rows = leaderboard_rows(study)
    shown = rows if len(rows) <= FIRST_ROWS + LAST_ROWS else [*rows[:FIRST_ROWS], *rows[-LAST_ROWS:]]
    columns = list(_columns(study, shown))
    best = study.best.number if study.best else None
    body = [_row(row, columns, wins=row["number"] == best) for row in shown]
    content = table([(one.title, "n" if one.numeric else None) for one in columns], body, sortable=True)
    note = "Click a column to sort by it. Only completed trials are ranked."
    note += (
        " Those that were trained again with other seeds come first, ordered by their mean." if study.rescored else ""
    )
    note += _left_out(len(rows), len(shown))
    return section("Leaderboard", tag("p", note, class_="quiet"), content, long=True)


def _left_out(count: int, shown: int) -> str:
    if shown == count:
        return ""
    told = f" Shown are the first {FIRST_ROWS} and the last {LAST_ROWS} of {count:,}; leaderboard.csv beside this page"
    return f"{told} has all of them."


def _columns(study: StudyResult, rows: Sequence[Row]) -> Iterable[Column]:
    """Those that any of the rows needs."""
    yield Column("rank", "rank", True, _whole)
    yield Column("number", "number", True, _whole)
    yield Column("status", "status", False, _status)
    yield Column("value", metric_name(study.objective), True, _score)
    if study.rescored:
        yield Column(MEAN, "mean over seeds", True, _score)
    for cost in costs_of(study):
        yield Column(cost_column(cost), COST_WORDS[cost].name, True, _counted(COST_WORDS[cost].text))
    yield Column("epochs", "epochs", True, _counted(lambda epochs: f"{epochs:.4g}"))
    yield Column("seconds", "seconds", True, _counted(_seconds))
    for path in searched(study):
        values = [row[path] for row in rows if row[path] is not None]
        if values:
            numeric = any(finite(value) is not None for value in values)
            yield Column(path, path, numeric, _number_or_text if numeric else _text)
    if any(trial.notes for trial in study.trials):
        yield Column(NOTES, "notes", False, lambda notes: _wide("; ".join(notes or ())))
    yield Column("reason", "reason", False, _wide)


def _row(row: Row, columns: Sequence[Column], *, wins: bool) -> Html:
    return tag("tr", join(column.cell(row[column.key]) for column in columns), class_="winner" if wins else None)


def _whole(value: int | None) -> Html:
    return number_cell(value, "" if value is None else str(value))


def _score(value: float | None) -> Html:
    return number_cell(value, score(value))


def _counted(text: Callable[[float], str]) -> Callable[[Any], Html]:
    return lambda value: number_cell(value, "" if finite(value) is None else text(value))


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.1f}"


def _status(status: str) -> Html:
    return tag("td", tag("span", status, class_=f"status {status}"))


def _wide(text: str | None) -> Html:
    return tag("td", text, class_="wide" if text else None)


def _number_or_text(value: Any) -> Html:
    if value is None:
        return tag("td", class_="n")
    return number_cell(value, value_text(value)) if finite(value) is not None else _text(value)


def _text(value: Any) -> Html:
    text = "" if value is None else value_text(value)
    return tag("td", text, class_="text" if len(text) > 20 else None)
