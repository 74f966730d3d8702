"""Simple models on the rows of a run, by which its scores are read: what each reaches, and in how many seconds."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tunery.baselines.targets import LinearTargets
from tunery.data.row_table import Array, RowTable
from tunery.errors import ModelError
from tunery.schema import RunConfig
from tunery.schema.config.baselines import baseline_config, simpler_than
from tunery.schema.config.peft import WITHOUT_NETWORK
from tunery.schema.results.run import Baseline, Metrics
from tunery.store.folder import RunFolder
from tunery.store.study import StudyStore
from tunery.train.loop.probing import fit_head
from tunery.train.loop.state import random_state, restore_random_state
from tunery.train.loop.training import split_answers
from tunery.train.out_of_fold import score_out_of_fold
from tunery.train.predict.scoring import jackknife, score, state_in
from tunery.train.predict.text_network import TextNetwork
from tunery.train.setup.assemble import assemble, with_resolved_head
from tunery.train.setup.prepare import Prepared, prepare
from tunery.train.text_runs import fit_text

PROBE_ROWS: Final = 20_000
"""Training rows that a probe is fitted to, at most. A logistic regression on some hundred features hardly gains by
more, and a pass over them all may take as long as the training that it stands beside."""

_Answers = Callable[[str], RowTable]
"""What a simple model answers about the split of this name."""


def known_baselines(
    config: RunConfig,
    prepared: Prepared,
    store: StudyStore,
    *,
    say: Callable[[str], None],
    probe_rows: int = PROBE_ROWS,
) -> tuple[Baseline, ...]:
    """Fit and score what `train.baselines` names, as far as it is simpler than the run itself and fits task and model:
    once in the life of a run or study.

    The random state is left as it is: a run is the same with baselines and without.

    Args:
        store: of the run or study, which this process holds.
        say: is told what each reaches on validation.
        probe_rows: training rows that a probe is fitted to, at most; of each label, or set of labels, its share.
    """
    folder = RunFolder(store.root)
    if (known := folder.baselines()) is not None:
        return known
    before = random_state()
    try:
        measured = tuple(_measured(config, prepared, store, say, probe_rows))
    finally:
        restore_random_state(before)
    folder.write_baselines(measured)
    return measured


def _measured(
    config: RunConfig, prepared: Prepared, store: StudyStore, say: Callable[[str], None], probe_rows: int
) -> Iterator[Baseline]:
    labels_alone = prepared.labels_alone(config.model.max_length)
    if labels_alone is None or (targets := labels_alone.linear_targets()) is None:
        return
    prepared, task, truth = labels_alone, labels_alone.task, labels_alone.truth
    if config.objective not in task.score(task.untrained(truth["validation"]), truth["validation"], None):
        return
    for method in simpler_than(config, config.train.baselines):
        began = time.perf_counter()
        numbers = targets.values
        rows = _some_rows(numbers, probe_rows, seed=config.seed) if method == "probe" else np.arange(len(numbers))
        try:
            answers = _fitted(baseline_config(config, method), prepared, targets, store, rows)
        except ModelError as error:
            say(f"no {method} beside this run: {error}")
            continue
        metrics = score(task, answers("validation"), truth["validation"])
        state, objective = state_in(task, metrics), config.objective
        on_test: dict[str, Any] | None = None
        without_block: tuple[float | None, ...] = ()
        if "test" in truth:
            on_test, without_block = jackknife(task, answers("test"), truth["test"], state, objective=objective)
        scores = Metrics(validation=metrics, test=on_test, test_without_block=without_block)
        if config.data.cross_validates:
            folds = score_out_of_fold(config, task, prepared.splits.pool, _of_folds(config, method, store, probe_rows))
            update = {"oof": folds.metrics, "oof_without_block": folds.without_block, "oof_interval": folds.interval}
            scores = scores.model_copy(update=update)
        where, value = (
            ("validation", metrics[objective]) if scores.oof is None else ("out of fold", scores.oof[objective])
        )
        seconds = time.perf_counter() - began
        train_rows = len(rows) if len(rows) < len(numbers) else None
        if value is not None:
            some = "" if train_rows is None else f", fitted to {train_rows:,} of {len(numbers):,} training rows"
            say(f"{method}: {where} {objective} {value:.4f} in {seconds:.1f} s{some}")
        yield Baseline(method=method, metrics=scores, seconds=seconds, train_rows=train_rows)


def _of_folds(config: RunConfig, method: str, store: StudyStore, probe_rows: int) -> list[RowTable]:
    """What a simple model answers about each fold that was fitted to the rows outside of it."""
    answers = []
    for fold in range(config.data.all_folds):
        of_fold = config.of_fold(fold)
        prepared = prepare(of_fold, trust_remote_code=of_fold.model.trust_remote_code)
        prepared = prepared.labels_alone(config.model.max_length) or prepared
        targets = prepared.linear_targets()
        assert targets is not None  # there are for all folds together
        rows = _some_rows(targets.values, probe_rows, seed=config.seed)
        rows = rows if method == "probe" else np.arange(len(targets.values))
        answers.append(_fitted(baseline_config(of_fold, method), prepared, targets, store, rows)("test"))
    return answers


def _some_rows(numbers: Array, most: int, *, seed: int) -> npt.NDArray[np.int64]:
    """Numbers of at most so many rows, ascending: in the order of their labels or numbers, rows at equal distances.

    Args:
        numbers: (rows,), or 0 and 1 (rows, labels).
    """
    if len(numbers) <= most:
        return np.arange(len(numbers))
    kind = np.unique(numbers, axis=0, return_inverse=True)[1].ravel()
    shuffled = np.random.default_rng(seed).permutation(len(numbers))
    by_kind = shuffled[np.argsort(kind[shuffled], kind="stable")]
    return np.sort(by_kind[np.arange(most) * len(numbers) // most])


def _fitted(
    config: RunConfig, prepared: Prepared, targets: LinearTargets, store: StudyStore, rows: npt.NDArray[np.int64]
) -> _Answers:
    if isinstance(config.peft, WITHOUT_NETWORK):
        network = TextNetwork(fit_text(config.peft, prepared, targets, seed=config.seed), task=prepared.task)
        return lambda split: network.answers(getattr(prepared.splits, split).examples)
    run = assemble(with_resolved_head(config, prepared), prepared)
    fit_head(run, store, rows)
    return partial(split_answers, run)
