"""What the best of many cross-validated trials owes to having been chosen by its score."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tunery.data.examples import Example
from tunery.data.row_table import RowTable
from tunery.hpo.analysis.trial_records import trial_folder
from tunery.schema import RunConfig
from tunery.schema.reading.document import validate
from tunery.schema.results.direction import Direction
from tunery.schema.results.study import TrialRecord
from tunery.tasks.table import task_of_rows
from tunery.tasks.task import Task
from tunery.train.out_of_fold import answers_of_folds, repeats_of
from tunery.train.setup.prepare import current_splits

DRAWS: Final = 100
_MOST_TRIALS: Final = 20
"""The best of a study that are looked at: the others hardly ever win on other rows."""

ScoreOfRows = Callable[[npt.NDArray[np.int64]], float | None]
"""The objective on some rows, each as often as it is named; None where it is undefined."""


def value_after_choice(best_first: Sequence[TrialRecord], base: RunConfig, out: Path) -> float | None:
    """The score out of fold of the first trial, less what it owes to having been chosen by it.

    Args:
        best_first: completed trials of the study in `out`.
        base: what all trials share.

    Returns:
        None where it cannot be said: answers of the first trial are gone, or the objective is undefined.
    """
    splits = current_splits(base)
    scores: list[ScoreOfRows] = []
    rows = 0
    for trial in best_first[:_MOST_TRIALS]:
        folder = trial_folder(out, trial.number)
        result, answers = folder.result(), answers_of_folds(folder.path, base.data.all_folds)
        if result is None or answers is None:
            if trial is best_first[0]:
                return None
            continue
        config, rows = validate(result.config), sum(map(len, answers)) // base.data.repeats
        scores.append(score_of_rows(config, task_of_rows(config.task, config.data, splits), splits.pool, answers))
    value, advantage = best_first[0].value, advantage_of_choice(scores, rows, direction=base.direction)
    return None if advantage is None or value is None else value - advantage


def score_of_rows(config: RunConfig, task: Task, pool: Sequence[Example], answers: Sequence[RowTable]) -> ScoreOfRows:
    """Scores a trial on some of the rows that its folds hold out, with what is fitted to all of its answers.

    Args:
        pool: the rows of all folds.
        answers: of each fold about its rows.
    """
    repeats = [*repeats_of(config, task, pool, answers)]
    states = [task.fit_state(repeat.answers, repeat.truth) for repeat in repeats]

    def score(rows: npt.NDArray[np.int64]) -> float | None:
        values: list[Any] = [
            task.score(repeat.answers.take(rows), repeat.truth.take(rows), state)[config.objective]
            for repeat, state in zip(repeats, states, strict=True)
        ]
        return None if None in values else fmean(values)

    return score


def advantage_of_choice(
    scores: Sequence[ScoreOfRows], rows: int, *, direction: Direction, draws: int = DRAWS
) -> float | None:
    """How much better the first trial looks on average than one that was chosen by other rows.

    Rows are drawn with replacement, and a trial is chosen by those that are drawn. On the rows that are not drawn, the
    trial that is best on all rows has the advantage of having been chosen by them too; the one that was chosen without
    them has not. It is the mean difference of the two (bootstrap bias corrected cross-validation: Tsamardinos,
    Greasidou & Borboudakis 2018, Machine Learning 107, section 3.1. That takes the mean score of the second, which for
    a metric such as macro-F1 depends on the number of rows, too).

    Args:
        scores: of each trial, that of the one which is best on all rows first.
        rows: how many there are.

    Returns:
        In the units of the objective, to be taken off: rarely below 0 where it is maximized, rarely above where it is
        minimized. None where the objective is undefined on whatever is drawn.
    """
    if len(scores) < 2:
        return 0.0
    rng = np.random.default_rng(0)
    drawn = [np.sort(rng.integers(rows, size=rows)) for _ in range(draws)]
    differences = [*_differences(scores, drawn, np.arange(rows), sign=1 if direction == "maximize" else -1)]
    return fmean(differences) if differences else None


def _differences(
    scores: Sequence[ScoreOfRows], draws: Sequence[npt.NDArray[np.int64]], every: npt.NDArray[np.int64], *, sign: int
) -> Iterator[float]:
    for drawn in draws:
        values = [score(drawn) for score in scores]
        defined = [k for k, value in enumerate(values) if value is not None]
        if not defined:
            continue
        chosen = max(defined, key=lambda k: sign * (values[k] or 0.0))
        others = np.setdiff1d(every, drawn)
        first, honest = scores[0](others), scores[chosen](others)
        if first is not None and honest is not None:
            yield first - honest
