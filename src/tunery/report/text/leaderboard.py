"""The trials of a study as a table, best first."""

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from tunery.report.text.numbers import finite
from tunery.schema.config.search import COSTS
from tunery.schema.results.ranking import ranking_key
from tunery.schema.results.study import Rescored, StudyResult, TrialRecord

FIXED = ("rank", "number", "status", "value", "epochs", "seconds", "reason")
"""Columns of every leaderboard; those that only some studies have and the searched parameters follow."""

MEAN = "rescored.mean"
"""Column of the mean over seeds."""

NOTES = "notes"

_ORDER = ("completed", "pruned", "running", "failed")


def searched(study: StudyResult) -> list[str]:
    """Paths of all parameters that any trial drew, in the order they were first drawn."""
    return list(dict.fromkeys(path for trial in study.trials for path in trial.params))


def extras(study: StudyResult) -> list[str]:
    """Columns of this study beside the fixed ones: other objectives, values of other seeds and their mean, notes."""
    seeds = sorted({seed for again in study.rescored for seed in again.seeds})
    rescored = [MEAN, *(seed_column(seed) for seed in seeds)] if study.rescored else []
    noted = [NOTES] if any(trial.notes for trial in study.trials) else []
    return [*map(beside_column, study.objectives[1:]), *rescored, *noted]


def beside_column(name: str) -> str:
    """Column of an objective after the first: a cost, or another metric."""
    return f"cost.{name}" if name in COSTS else name


def seed_column(seed: int) -> str:
    """Column of the value that a rescored configuration reached with this seed."""
    return f"rescored.seed_{seed}"


def leaderboard_rows(study: StudyResult) -> list[dict[str, Any]]:
    """One row per trial, best first: completed ones, then pruned, running and failed ones.

    Completed trials are ordered by value, equals by their loss; those that were trained again with
    other seeds come first, ordered by their mean.
    Only completed trials with a value have a rank; the others, and parameters that do not exist in a trial, are None.
    """
    paths, more, again = searched(study), extras(study), {row.number: row for row in study.rescored}
    rescored_place = {row.number: index for index, row in enumerate(study.rescored)}
    rows, rank = [], 0
    for trial in sorted(study.trials, key=lambda trial: _place(trial, study, rescored_place)):
        value = finite(trial.value)
        ranked = trial.status == "completed" and value is not None
        rank += ranked
        fixed = (rank if ranked else None, trial.number, trial.status, value, trial.epochs, trial.seconds, trial.reason)
        beside = {**dict.fromkeys(more), **_beside(trial, study, again.get(trial.number))}
        rows.append(dict(zip(FIXED, fixed, strict=True)) | beside | {path: trial.params.get(path) for path in paths})
    return rows


def _beside(trial: TrialRecord, study: StudyResult, rescored: Rescored | None) -> dict[str, Any]:
    """Those of the `extras` that the trial has."""
    values_by_column: dict[str, Any] = {
        beside_column(name): finite(trial.beside.get(name)) for name in study.objectives[1:]
    }
    if rescored is not None:
        values = zip(rescored.seeds, rescored.values, strict=True)
        values_by_column |= {
            MEAN: finite(rescored.mean),
            **{seed_column(seed): finite(value) for seed, value in values},
        }
    return {**values_by_column, NOTES: trial.notes} if trial.notes else values_by_column


def leaderboard_csv(study: StudyResult) -> str:
    """`leaderboard_rows` as CSV with a header; lists and booleans are written as JSON, None as an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*FIXED, *extras(study), *searched(study)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: csv_cell(value) for key, value in row.items()} for row in leaderboard_rows(study))
    return text.getvalue()


def _place(trial: TrialRecord, study: StudyResult, rescored: Mapping[int, int]) -> tuple[float, ...]:
    value = finite(trial.value)
    is_winner = trial.number == study.winner
    again = rescored.get(trial.number, len(rescored))
    among_equals = ranking_key(value, trial.loss, not is_winner, trial.number, direction=study.direction)
    return _ORDER.index(trial.status), value is None, again, *among_equals


def csv_cell(value: Any) -> Any:
    """Lists and booleans as JSON, anything else as it is."""
    nested = isinstance(value, bool | list | tuple | dict)
    return json.dumps(value, ensure_ascii=False, default=str) if nested else value
