"""A study for a terminal: a table as wide as there is room, and what there is to say in lines."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.table import Table

from tunery.errors import shortened
from tunery.report.compute.importance import importance_rows
from tunery.report.compute.pareto_front import beside_text, further_objectives, pareto_trials
from tunery.report.compute.pruning import pruning
from tunery.report.text.baseline_sentences import baseline_sentences
from tunery.report.text.cost_units import words_of
from tunery.report.text.formatting import cell_text, duration, plural, score, value_text
from tunery.report.text.leaderboard import MEAN, beside_column, leaderboard_rows, searched
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
"""Characters of one cell."""

_GAP: Final = 2
"""Columns of the terminal between two of the table."""


def leaderboard(study: StudyResult, width: int) -> Table:
    """The best trials; of the searched parameters those that fit into `width`, the most important ones first."""
    study = study_to_read(study)
    rows = leaderboard_rows(study)[:_ROWS]
    beside = {beside_column(name): words_of(name) for name in further_objectives(study)}
    fixed = ["rank", "number", "status", "value", *([MEAN] if study.rescored else []), *beside, "epochs", "seconds"]
    paths = [path for path in searched(study) if any(row[path] is not None for row in rows)]
    by_importance = [row.path for row in importance_rows(study) if row.path in paths]
    columns, wanted = [*fixed, *paths], dict.fromkeys(["number", "value", *fixed, *by_importance, *paths])
    names = [column.rpartition(".")[2] for column in columns]  # the last part of a path, where it is unique
    headings = {key: name if names.count(name) == 1 else key for key, name in zip(columns, names, strict=True)}
    headings |= {column: words.name for column, words in beside.items()}
    texts: dict[str, Callable[[Any], str]] = {column: words.text for column, words in beside.items()}
    texts |= {"value": score, MEAN: score, "seconds": "{:,.0f}".format}
    cells = {
        key: [shortened(cell_text(row[key], texts.get(key, value_text)), _LONGEST) for row in rows] for key in wanted
    }
    fitting = _fitting({key: [headings[key], *cells[key]] for key in wanted}, width)
    shown = [key for key in columns if key in fitting]
    table = Table(box=None, pad_edge=False)
    for key in shown:
        table.add_column(headings[key], no_wrap=True)
    for row in zip(*(cells[key] for key in shown), strict=True):
        table.add_row(*row)
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


def front(study: StudyResult) -> Table:
    """The Pareto-optimal trials, best first."""
    names = further_objectives(study)
    table = Table("trial", study.objective, *(words_of(name).name for name in names), box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap, column.justify = True, "right"
    for trial in pareto_trials(study)[:_ROWS]:
        table.add_row(str(trial.number), score(trial.value), *(beside_text(trial, name) for name in names))
    return table


def sentences(study: StudyResult) -> Iterator[str]:
    """One line each: who won, what decided, what ensembles gain, what pruning saved, what is to be noted.

    What makes the winner's scores doubtful is not among them: it is printed before the leaderboard.
    """
    yield from _winner(study)
    yield from baseline_sentences(study.baselines, study.objective, subject="the winner")
    if line := importance_line(study, most=_MOST_IMPORTANT):
        yield line
    yield from _ensembles(study)
    counts = ", ".join(f"{count:,} {status}" for status, count in study.counts.items() if count and status != "total")
    yield f"{counts or 'no trial'}; {duration(study.seconds)} of run time"
    yield from _pruned(study)
    yield from (f"note: {note}" for note in study.notes)
    noted = sum(bool(trial.notes) for trial in study.trials)
    if noted:
        yield f"{plural(noted, 'trial')} with notes: see leaderboard.csv"


def _winner(study: StudyResult) -> Iterator[str]:
    if study.best is not None:
        again = winner_again(study)
        over = f" (mean of {plural(len(again.values), 'seed')} {score(again.mean)})" if again else ""
        where, test = "out of fold" if study.is_cross_validated else "validation", study.best.test.get(study.objective)
        on_test = f", test {score(test)}" if study.best.test or not study.is_cross_validated else ""
        scored = f"{where} {score(study.best.value)}{over}{on_test}"
        yield f"best: trial {study.best.number}, {study.objective} {scored}"
    if study.rescored:
        yield rescored_sentence(study)
    if study.front:
        yield front_sentence(study)


def _ensembles(study: StudyResult) -> Iterator[str]:
    better = [ensemble for ensemble in study.ensembles if finite(ensemble.gain) is not None and ensemble.gain > 0]
    yield from (f"ensemble: {ensemble_line(study, ensemble)}" for ensemble in better)
    if study.ensembles and not better:
        names = ", ".join(ENSEMBLES[ensemble.method] for ensemble in study.ensembles)
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
