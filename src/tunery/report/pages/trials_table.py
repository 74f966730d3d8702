"""The table of a study's trials."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from tunery.report.compute.pareto_front import further_objectives
from tunery.report.markup import Html, tag
from tunery.report.pages.components import number_cell, section, table
from tunery.report.text.cost_units import words_of
from tunery.report.text.formatting import count, metric_name, value_text
from tunery.report.text.leaderboard import MEAN, NOTES, beside_column, leaderboard_rows, searched
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
    body = []
    for row in shown:
        cells = [column.cell(row[column.key]) for column in columns]
        body.append(tag("tr", cells, class_="winner" if row["number"] == study.winner else None))
    content = table([(one.title, "n" if one.numeric else None) for one in columns], body, sortable=True)
    note = "Click a column to sort by it. Only completed trials are ranked."
    if study.rescored:
        note += " Those that were trained again with other seeds come first, ordered by their mean."
    if len(shown) < len(rows):
        note += f" Shown are the first {FIRST_ROWS} and the last {LAST_ROWS} of {len(rows):,}; leaderboard.csv beside"
        note += " this page has all of them."
    return section("Leaderboard", tag("p", note, class_="quiet"), content, long=True)


def _columns(study: StudyResult, rows: Sequence[Row]) -> Iterable[Column]:
    """Those that any of the rows needs."""
    yield Column("rank", "rank", True, partial(number_cell, text=str, missing=""))
    yield Column("number", "number", True, partial(number_cell, text=str, missing=""))
    yield Column("status", "status", False, lambda status: tag("td", tag("span", status, class_=f"status {status}")))
    yield Column("value", metric_name(study.objective), True, number_cell)
    if study.rescored:
        yield Column(MEAN, "mean over seeds", True, number_cell)
    for name in further_objectives(study):
        words = words_of(name)
        yield Column(beside_column(name), words.name, True, partial(number_cell, text=words.text, missing=""))
    yield Column("epochs", "epochs", True, partial(number_cell, text=value_text, missing=""))
    yield Column("seconds", "seconds", True, partial(number_cell, text=count, missing=""))
    for path in searched(study):
        values = [row[path] for row in rows if row[path] is not None]
        if values:
            numeric = any(finite(value) is not None for value in values)
            yield Column(path, path, numeric, _number_or_text if numeric else _text)
    if any(trial.notes for trial in study.trials):
        yield Column(NOTES, "notes", False, lambda notes: _wide("; ".join(notes or ())))
    yield Column("reason", "reason", False, _wide)


def _text(value: Any) -> Html:
    text = "" if value is None else value_text(value)
    return tag("td", text, class_="text" if len(text) > 20 else None)


def _number_or_text(value: Any) -> Html:
    return _text(value) if value is not None and finite(value) is None else number_cell(value, value_text, missing="")


def _wide(text: str | None) -> Html:
    return tag("td", text, class_="wide" if text else None)
