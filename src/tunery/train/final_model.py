"""The model of a cross-validated run that is not trained anew: all folds together, or the best of them."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from tunery.schema import RunConfig
from tunery.schema.results.card import CARD_FORMAT
from tunery.schema.results.direction import minimized
from tunery.schema.results.run import CheckpointRecord, Seconds
from tunery.store.disk.files import replace_folder, write_text
from tunery.store.disk.ownership import BEST, temporary
from tunery.store.exported import CARD
from tunery.store.folder import RunFolder
from tunery.store.study import StudyStore
from tunery.train.artifacts.publish import export_checked, publish, scratch_folder
from tunery.train.artifacts.restore import StoredWeights
from tunery.train.conclude import TestScores, scored_on_test
from tunery.train.ensembles.combination import Combination
from tunery.train.fit_run import FitOptions
from tunery.train.loop.clock import Clock
from tunery.train.out_of_fold import OutOfFold, TrainedFold
from tunery.train.predict.inference import load
from tunery.train.setup.prepare import Prepared, data_record

_BYTES: Final = 4
"""Of a parameter in an export."""


def publish_final(
    config: RunConfig,
    prepared: Prepared,
    folds: Sequence[TrainedFold],
    found: OutOfFold,
    store: StudyStore,
    folder: RunFolder,
    options: FitOptions,
) -> TestScores:
    """Export what `data.final` names to `best/`, and score it on test if there are such rows.

    Args:
        prepared: the rows of all folds.
        found: by what the model decides.

    Raises:
        ExportMismatch: a model does not answer from disk as it does here.
    """
    target, permitted = folder.path / BEST, options.trust_remote_code
    members = folds if config.data.final == "ensemble" else [_best(folds, config)]
    need = _BYTES * sum(fold.result.parameters.total for fold in members if fold.result.parameters)
    if config.data.final == "ensemble":
        write = partial(_write_ensemble, config, prepared, members, found, target, trust_remote_code=permitted)
    else:
        write = partial(_write_fold, members[0], found, target, trust_remote_code=permitted)
    store.export(need, write)
    predictor = load(target, trust_remote_code=permitted)
    return scored_on_test(predictor, prepared.splits.test, folder, clock=Clock(Seconds()), texts=options.texts)


def _best(folds: Sequence[TrainedFold], config: RunConfig) -> TrainedFold:
    """The fold with the best objective on the rows that were held out from it; of equals the first."""
    scored = [(fold, value) for fold in folds if (value := fold.record().value) is not None]
    return min(scored, key=lambda each: minimized(each[1], config.direction), default=(folds[0], None))[0]


def _weights(fold: TrainedFold, found: OutOfFold, *, trust_remote_code: bool) -> tuple[StoredWeights, CheckpointRecord]:
    """Of the best epoch of a fold, which decides as all folds together say."""
    best, result = fold.folder.best(), fold.result
    assert best is not None
    record = best.model_copy(update={"metrics": {**best.metrics, **(found.scored.state or {})}})
    objects = fold.folder.objects
    return StoredWeights(fold.config, best, objects, result.data, result.base, trust_remote_code), record


def _write_fold(fold: TrainedFold, found: OutOfFold, target: Path, *, trust_remote_code: bool) -> None:
    weights, record = _weights(fold, found, trust_remote_code=trust_remote_code)
    publish(weights.restore(), best=record, folder=target)


def _write_ensemble(
    config: RunConfig,
    prepared: Prepared,
    folds: Sequence[TrainedFold],
    found: OutOfFold,
    target: Path,
    *,
    trust_remote_code: bool,
) -> None:
    names = [f"members/{fold.config.data.fold}" for fold in folds]
    task = prepared.task
    card: dict[str, Any] = {
        "format": CARD_FORMAT,
        "config": config.model_dump(mode="json"),
        "task": {
            "kind": config.task.kind,
            "labels": task.labels,
            "settings": task.settings,
            "state": found.scored.state,
        },
        "data": data_record(prepared.splits).model_dump(mode="json"),
        "weights": {"step": 0, "epoch": 0.0, "value": found.scored.metrics[config.objective], "unfinished": False},
        "members": names,
        "blend": Combination.even(len(folds)).document(),
    }
    with scratch_folder(temporary(target)) as staged:
        for name, fold in zip(names, folds, strict=True):
            weights, record = _weights(fold, found, trust_remote_code=trust_remote_code)
            export_checked(weights.restore(), best=record, folder=staged / name)
        write_text(staged / CARD, json.dumps(card, indent=1, ensure_ascii=False))
        replace_folder(staged, target)
