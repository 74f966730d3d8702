"""The trials of a study as a table, best first."""

import csv
import io
import json
from typing import Any

from tunery.report.finite import finite
from tunery.schema.results import StudyResult, TrialRecord

FIXED = ("rank", "number", "status", "value", "epochs", "seconds", "reason")
"""Columns of every leaderboard; the searched parameters follow."""

_ORDER = ("completed", "pruned", "running", "failed")


def searched(study: StudyResult) -> list[str]:
    """Dotted paths of all parameters that any trial drew, in the order they were first drawn."""
    return list(dict.fromkeys(path for trial in study.trials for path in trial.params))


def leaderboard_rows(study: StudyResult) -> list[dict[str, Any]]:
    """One row per trial: completed ones by value, best first, then pruned, running and failed ones.

    Only completed trials with a value have a rank; the others, and parameters that do not exist in a trial, are None.
    """
    paths = searched(study)
    rows, rank = [], 0
    for trial in sorted(study.trials, key=lambda trial: _place(trial, study)):
        value = finite(trial.value)
        ranked = trial.status == "completed" and value is not None
        rank += ranked
        fixed = (rank if ranked else None, trial.number, trial.status, value, trial.epochs, trial.seconds, trial.reason)
        rows.append(dict(zip(FIXED, fixed, strict=True)) | {path: trial.params.get(path) for path in paths})
    return rows


def leaderboard_csv(study: StudyResult) -> str:
    """`leaderboard_rows` as CSV with a header; lists and booleans are written as JSON, None as an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*FIXED, *searched(study)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: csv_cell(value) for key, value in row.items()} for row in leaderboard_rows(study))
    return text.getvalue()


def _place(trial: TrialRecord, study: StudyResult) -> tuple[int, bool, float, bool, int]:
    value = finite(trial.value)
    worse = 0.0 if value is None else (-value if study.direction == "maximize" else value)
    winner = study.best is not None and trial.number == study.best.number
    return _ORDER.index(trial.status), value is None, worse, not winner, trial.number


def csv_cell(value: Any) -> Any:
    """Lists and booleans as JSON, anything else as it is."""
    nested = isinstance(value, bool | list | tuple | dict)
    return json.dumps(value, ensure_ascii=False, default=str) if nested else value
