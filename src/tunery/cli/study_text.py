"""A study for a terminal: a table as wide as there is room, and what there is to say in lines."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from rich.table import Table

from tunery.report.compute.importance import importance_rows
from tunery.report.compute.pareto_front import costs_of, front_rows
from tunery.report.compute.pruning import pruning
from tunery.report.text.cost_units import COST_WORDS
from tunery.report.text.formatting import DASH, duration, plural, score, value_text
from tunery.report.text.leaderboard import MEAN, cost_column, leaderboard_rows, searched
from tunery.report.text.method_names import study_to_read
from tunery.report.text.numbers import finite
from tunery.report.text.study_sentences import (
    ENSEMBLES,
    ensemble_line,
    front_sentence,
    importance_line,
    pruned_sentence,
    rescored_sentence,
    winner_again,
)
from tunery.schema.results.study import StudyResult

_ROWS: Final = 10
"""Best trials that are listed, and Pareto-optimal ones."""

_MOST_IMPORTANT: Final = 5

_EPOCHS: Final = 8
"""Epochs whose pruned trials are counted one by one."""

_LONGEST: Final = 24
"""Letters of one cell."""

_GAP: Final = 2
"""Columns of the terminal between two of the table."""


def leaderboard(study: StudyResult, width: int) -> Table:
    """The best trials; of the searched parameters those that fit into `width`, the most important ones first."""
    study = study_to_read(study)
    rows = leaderboard_rows(study)[:_ROWS]
    fixed = ["rank", "number", "status", "value", *([MEAN] if study.rescored else [])]
    fixed += [*map(cost_column, costs_of(study)), "epochs", "seconds"]
    paths = [path for path in searched(study) if any(row[path] is not None for row in rows)]
    by_importance = [row.path for row in importance_rows(study) if row.path in paths]
    wanted = sorted(fixed, key=lambda key: (key not in ("number", "value"), fixed.index(key)))
    wanted += [*by_importance, *(path for path in paths if path not in by_importance)]
    headings = _headings([*fixed, *paths]) | {cost_column(cost): COST_WORDS[cost].name for cost in costs_of(study)}
    texts = _as_text(study)
    cells = {key: [texts.get(key, _cell)(row[key]) for row in rows] for key in wanted}
    shown = _fitting({key: [headings[key], *cells[key]] for key in wanted}, width)
    table = Table(box=None, pad_edge=False)
    for key in (key for key in [*fixed, *paths] if key in shown):
        table.add_column(headings[key], no_wrap=True)
    for place in range(len(rows)):
        table.add_row(*(cells[key][place] for key in [*fixed, *paths] if key in shown))
    return table


def _fitting(columns: Mapping[str, Sequence[str]], width: int) -> set[str]:
    """Those of the columns, the most wanted first, that fit beside one another into `width`."""
    shown, room = set[str](), width + _GAP
    for key, texts in columns.items():
        need = max(map(len, texts)) + _GAP
        if need <= room or not shown:
            shown.add(key)
            room -= need
    return shown


def _headings(keys: Sequence[str]) -> dict[str, str]:
    """Column names for a narrow screen: the last part of a path where it is clear."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: short if last.count(short) == 1 else key for key, short in zip(keys, last, strict=True)}


def _cell(value: Any) -> str:
    text = DASH if value is None else value_text(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _as_text(study: StudyResult) -> dict[str, Callable[[Any], str]]:
    """Columns that have a way of their own to be written."""
    costs = {cost_column(cost): COST_WORDS[cost].text for cost in costs_of(study)}
    known = {"value": score, MEAN: score, "seconds": "{:,.0f}".format, **costs}
    return {key: partial(_unless_none, text) for key, text in known.items()}


def _unless_none(text: Callable[[Any], str], value: Any) -> str:
    return DASH if value is None else text(value)


def front(study: StudyResult) -> Table:
    """The Pareto-optimal trials, best first."""
    costs = [COST_WORDS[cost].name for cost in costs_of(study)]
    table = Table("trial", study.objective, *costs, box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap, column.justify = True, "right"
    for row in front_rows(study)[:_ROWS]:
        table.add_row(str(row.trial.number), score(row.trial.value), *row.costs)
    return table


def told(study: StudyResult) -> Iterator[str]:
    """One line each: who won, what decided, what ensembles gain, what pruning saved, what is to be noted.

    What makes the winner's scores doubtful is no part of it: it is said before the leaderboard.
    """
    yield from _winner(study)
    yield from filter(None, [importance_line(study, most=_MOST_IMPORTANT)])
    yield from _ensembles(study)
    counts = ", ".join(f"{count:,} {status}" for status, count in study.counts.items() if count and status != "total")
    yield f"{counts or 'no trial'}; {duration(study.seconds)} of run time"
    yield from _pruned(study)
    yield from (f"note: {note}" for note in study.notes)
    noted = sum(bool(trial.notes) for trial in study.trials)
    yield from [f"{plural(noted, 'trial')} with notes: see leaderboard.csv"] if noted else []


def _winner(study: StudyResult) -> Iterator[str]:
    if study.best is not None:
        again = winner_again(study)
        over = f" (mean of {plural(len(again.values), 'seed')} {score(again.mean)})" if again else ""
        scored = f"validation {score(study.best.value)}{over}, test {score(study.best.test.get(study.objective))}"
        yield f"best: trial {study.best.number}, {study.objective} {scored}"
    if study.rescored:
        yield rescored_sentence(study)
    if study.front:
        yield front_sentence(study)


def _ensembles(study: StudyResult) -> Iterator[str]:
    better = [found for found in study.ensembles if finite(found.gain) is not None and found.gain > 0]
    yield from (f"ensemble: {ensemble_line(study, found)}" for found in better)
    if study.ensembles and not better:
        names = ", ".join(ENSEMBLES[found.method] for found in study.ensembles)
        yield f"no ensemble gained anything over its best member ({names})"


def _pruned(study: StudyResult) -> Iterator[str]:
    stopped = pruning(study)
    if not stopped.stopped:
        return
    yield pruned_sentence(stopped)
    shown = stopped.by_epoch[:_EPOCHS]
    more = len(stopped.by_epoch) - len(shown)
    counted = ", ".join(f"{row.so_far:,} by epoch {row.epoch}" for row in shown)
    yield f"pruned: {counted}" + (f", {plural(more, 'later epoch')} in the report" if more else "")
