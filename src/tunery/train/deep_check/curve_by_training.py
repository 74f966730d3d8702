"""`tunery curve --train`: what more labels would give, from runs of the config's own method on parts of the rows."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Final

import numpy as np

from tunery.data.learning_curve import SHARES
from tunery.data.row_table import RowTable
from tunery.errors import DataError, RequestError
from tunery.schema import ConfigLike, RunConfig, config_from
from tunery.schema.config.peft import method_name
from tunery.schema.config.task import LanguageModelTask
from tunery.schema.reading.document import with_absolute_names
from tunery.schema.results.curve import LearningCurve
from tunery.store.disk.files import write_text
from tunery.store.disk.ownership import CURVE, FOLDS
from tunery.store.disk.run_lock import refuse_other, refuse_other_data, run_lock
from tunery.store.records import read_record
from tunery.store.study import StudyStore, ignore
from tunery.tasks.table import fold_numbers
from tunery.train.conclude import Purpose
from tunery.train.deep_check.learning_curve import LEAST, curve_through
from tunery.train.deep_check.simple_model import FOLDS as USUAL
from tunery.train.fit import one_run_at_a_time
from tunery.train.fit_run import FitOptions, ignore_fold
from tunery.train.folds import trained_fold
from tunery.train.setup.prepare import Prepared, prepare
from tunery.train.signals import Signals, no_stop

DRAWS: Final = 2
"""Of the rows of each part; all rows are one draw."""


def curve_by_training(
    config: ConfigLike,
    *,
    out: str | Path,
    folds: int = 1,
    say: Callable[[str], None] = ignore,
    stop: Callable[[], str | None] = no_stop,
    trust_remote_code: bool = False,
) -> LearningCurve:
    """Train the config on 1/8, 1/4, 1/2 and all of the rows outside a fold, score the fold, and draw power laws through
    the scores (`learning_curve` says how). Rows of test are not looked at; of the training rows of each run some are
    split off for validation, as in any run, unless they are given.

    Each is an ordinary run in `out/folds/`, so that the same call goes on with an unfinished one, and returns what a
    finished one has found; with more folds it adds theirs. Of runs nothing but records and answers stays.

    Args:
        config: the path of a config file, a mapping like that of such a file, or a `RunConfig`; `data.folds` says
            how many folds there are (5).
        folds: how many folds are held out in turn: more rows that scores are of, for as many more runs.
        say: is told what is done.
        stop: says what else than a signal asks it to save and leave, if anything; asked after every step.
        trust_remote_code: permits code that comes with the model.

    Raises:
        RequestError: when config, data, model or folder are wrong; nothing has been written then.
        Interrupted: on SIGINT or SIGTERM, after a resume point was saved.
        DiskFull: when there is no room; the same call goes on once there is.
        RunError: when training fails.
    """
    config = _cross_validated(with_absolute_names(config_from(config)))
    config = config.with_remote_code() if trust_remote_code else config
    if not 1 <= folds <= (config.data.folds or 0):
        raise RequestError(f"1 to data.folds={config.data.folds} folds can be held out in turn, but got {folds}")
    document, signals, root = config.model_dump(mode="json"), Signals(stop), Path(out)
    store = StudyStore(root, config.checkpoint, direction=config.direction, say=say, stopping=signals.stop_requested)
    refuse_other(root, document, record=CURVE)
    if (known := read_record(root / CURVE, LearningCurve)) is not None and known.held_out == folds:
        return known
    options = FitOptions(
        root=root,
        purpose=Purpose.FOLD,
        callbacks=(),
        source=None,
        signals=signals,
        say=say,
        trust_remote_code=trust_remote_code,
        texts=None,
        baselines=False,
        folds=None,
        fold_ended=ignore_fold,
    )
    with one_run_at_a_time(), signals.handled():
        prepared = prepare(config, trust_remote_code=trust_remote_code)
        if (rows := len(prepared.splits.pool)) < LEAST:
            raise DataError(f"a learning curve needs {LEAST} training rows or more, but has {rows}; label more")
        refuse_other_data(root, prepared.record())
        with run_lock(root, document, record=CURVE, data=prepared.record()):
            found = _measured(config, prepared, store, options, folds=folds)
            write_text(root / CURVE, found.model_dump_json(indent=1))
    return found


def _measured(
    config: RunConfig, prepared: Prepared, store: StudyStore, options: FitOptions, *, folds: int
) -> LearningCurve:
    """The smallest part of each fold is trained first, so that an error shows early."""
    pool, root = prepared.splits.pool, options.root
    parts = [(share, draw) for share in SHARES for draw in range(1 if share == 1 else DRAWS)]
    answers: dict[tuple[float, int], list[RowTable]] = {part: [] for part in parts}
    largest: list[int] = []
    for number, (fold, (share, draw)) in enumerate(product(range(folds), parts)):
        data = {"fold": fold, "part": share, "part_seed": config.seed + draw}
        of_part = config.model_copy(update={"seed": config.seed + draw, "data": config.data.model_copy(update=data)})
        title = f"run {number + 1} of {folds * len(parts)}, {share:.3g} of the rows"
        trained = trained_fold(of_part, root / FOLDS / str(number), store, options, title=title)
        trained.forget_weights()
        answers[share, draw].append(trained.answers())
        if share == 1 and trained.result.data is not None:
            largest.append(trained.result.data.splits["train"].rows)
    (fold_of_row,) = fold_numbers(pool, config.data, config.task)
    rows = np.concatenate([np.flatnonzero(fold_of_row == fold) for fold in range(folds)])
    by_part = {part: RowTable.joined(of_folds) for part, of_folds in answers.items()}
    name = method_name(config.peft.method)
    found = curve_through(
        [[by_part[part] for part in parts if part[0] == share] for share in SHARES],
        prepared.task.truth([pool[row] for row in rows]),
        config,
        prepared.task,
        fitted_to=fmean(largest),
        total=len(prepared.splits.train.examples),
        method=config.peft.method,
        described=f"{name}, trained on parts of the rows outside {folds} of {config.data.folds} folds",
    )
    return found.model_copy(update={"held_out": folds})


def _cross_validated(config: RunConfig) -> RunConfig:
    """The config with folds, of which none is chosen.

    Raises:
        RequestError: its rows have nothing that a fold could be scored by.
    """
    if isinstance(config.task, LanguageModelTask):
        raise RequestError(
            "a learning curve is of rows with labels, evidence or numbers, but "
            f"task.kind={config.task.kind} has texts alone; compare lengths of training instead (train.max_steps)"
        )
    fixed = {"folds": config.data.folds or USUAL, "fold": None, "repeats": 1}
    return config.model_copy(update={"data": config.data.model_copy(update=fixed)})
