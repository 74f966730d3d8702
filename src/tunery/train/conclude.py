"""The end of a run: the best epoch is restored, its export is checked, and the result is written."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, NamedTuple

from tunery.data.examples import Split
from tunery.data.row_table import RowTable
from tunery.model.trainable import count_parameters, load_trainable
from tunery.schema import RunConfig
from tunery.schema.results.record import Objective, Status
from tunery.schema.results.run import (
    Baseline,
    CheckpointRecord,
    Metrics,
    PretrainRecord,
    Progress,
    RunResult,
    Seconds,
    Tokens,
)
from tunery.store.disk.files import size
from tunery.store.folder import RunFolder
from tunery.store.study import StudyStore
from tunery.tasks.task import State
from tunery.tracking.jsonl import read_metrics
from tunery.train.artifacts.publish import live_model, publish, verify
from tunery.train.gains import baseline_notes, with_gains
from tunery.train.loop.callbacks import history
from tunery.train.loop.clock import Clock
from tunery.train.loop.training import split_answers
from tunery.train.notes import Curves, notes_of
from tunery.train.out_of_fold import OutOfFold
from tunery.train.predict.inference import Predictor
from tunery.train.predict.scoring import state_in
from tunery.train.setup.assemble import Assembled
from tunery.train.setup.prepare import Prepared


class Purpose(Enum):
    """What becomes of a trained model."""

    OWN = "own"
    """It is exported to `best/` and scored on test."""
    TRIAL = "trial"
    """Its export is tried and thrown away, and it is not scored on test: a study does both for its winner."""
    FOLD = "fold"
    """What it answers about test, which are the rows of its fold, is kept."""


class TestScores(NamedTuple):
    """What is known of test; nothing, where a study scores its winner alone."""

    metrics: dict[str, Any] | None = None
    without_block: tuple[float | None, ...] = ()
    """The objective without each block of rows in turn (`Predictor.jackknife`)."""


UNSCORED: Final = TestScores()


def conclude(
    run: Assembled,
    store: StudyStore,
    folder: RunFolder,
    progress: Progress,
    *,
    purpose: Purpose,
    clock: Clock,
    export_bytes: int,
    texts: bool | None,
    baselines: tuple[Baseline, ...] = (),
    pretraining: tuple[PretrainRecord, ...] = (),
    out_of_fold: OutOfFold | None = None,
) -> RunResult:
    """Restore the best epoch, check its export, and write the result.

    Args:
        export_bytes: of the export, at most.
        texts: whether the rows of test that are answered worst are recorded with their texts; None: no such rows are.
        baselines: what simple models reach on the same rows.
        pretraining: what the base learned before.
        out_of_fold: what cross-validation has found, of which this is the final model: it decides as that says.
    """
    best = folder.best()
    if best is None:
        raise RuntimeError("training ended without a scored epoch")
    load_trainable(run.built, folder.objects.get(best.digest, reference=run.reference))
    parameters = count_parameters(run.built)  # with the ranks of the best epoch
    live, test = live_model(run.built, run.prepared, run.config), UNSCORED
    if out_of_fold is not None:
        best = decided_out_of_fold(
            run.prepared, split_answers(run, "validation"), best, folder, out_of_fold.scored.state
        )
    if purpose is Purpose.FOLD:
        with clock.phase("evaluate"):
            test = keep_answers(run.prepared, split_answers(run, "test"), best, folder)
    elif purpose is Purpose.TRIAL:
        staged = folder.staging / "export"
        store.export(export_bytes, lambda: verify(live, best=best, staging=staged))
    else:
        exported = folder.path / "best"
        predictor = store.export(export_bytes, lambda: publish(live, best=best, folder=exported))
        test = scored_on_test(predictor, run.prepared.splits.test, folder, clock=clock, texts=texts)
    progress = progress.model_copy(update={"parameters": parameters, "seconds": clock.seconds()})
    return finish(
        store,
        folder,
        run.config,
        "completed",
        progress=progress,
        test=test,
        baselines=baselines,
        pretraining=pretraining,
        out_of_fold=out_of_fold,
    )


def decided_out_of_fold(
    prepared: Prepared, answers: RowTable, best: CheckpointRecord, folder: RunFolder, state: State | None
) -> CheckpointRecord:
    """The record of the best epoch, which decides by what was fitted out of fold in place of what its few validation
    rows say; it is kept so.

    Args:
        answers: about validation.
    """
    if state is None:
        return best
    metrics = {**prepared.task.score(answers, prepared.truth["validation"], state), **state}
    decided = best.model_copy(update={"metrics": metrics})
    folder.write_kept([decided if record == best else record for record in folder.kept()])
    return decided


def keep_answers(prepared: Prepared, answers: RowTable, best: CheckpointRecord, folder: RunFolder) -> TestScores:
    """Keep what the model of a fold answers about the rows that were held out from it."""
    folder.write_answers(answers.flat())
    return TestScores(prepared.task.score(answers, prepared.truth["test"], state_in(prepared.task, best.metrics)))


def scored_on_test(
    predictor: Predictor, split: Split, folder: RunFolder, *, clock: Clock, texts: bool | None
) -> TestScores:
    """Score an exported model on test, if there are such rows, and record those that it answers worst. texts: as in
    `conclude`."""
    if not split.examples:
        return UNSCORED
    with clock.phase("evaluate"):
        answers = predictor.answers(split.examples)
        scores = TestScores(*predictor.jackknife(split.examples, answers))
    if texts is not None:
        folder.write_worst_rows(predictor.worst_rows(split, answers, texts=texts))
    return scores


def finish(
    store: StudyStore,
    folder: RunFolder,
    config: RunConfig,
    status: Status,
    *,
    progress: Progress,
    test: TestScores = UNSCORED,
    baselines: tuple[Baseline, ...] = (),
    pretraining: tuple[PretrainRecord, ...] = (),
    out_of_fold: OutOfFold | None = None,
    reason: str | None = None,
) -> RunResult:
    """Write `result.json` from what is on disk and `progress`: the run is finished. What nothing needs now is freed."""
    best, kept, exported = folder.best(), folder.kept(), size(folder.path / "best")
    metrics = Metrics(validation=best.metrics if best else {}, test=test.metrics, test_without_block=test.without_block)
    value = best.value if best else None
    if out_of_fold is not None:
        validation = metrics.validation or {**out_of_fold.scored.metrics, **(out_of_fold.scored.state or {})}
        metrics = metrics.model_copy(
            update={
                "validation": validation,
                "oof": out_of_fold.scored.metrics,
                "oof_without_block": out_of_fold.scored.without_block,
                "oof_interval": out_of_fold.scored.interval,
            }
        )
        progress, value = (
            with_folds(progress, out_of_fold.results, of=len(out_of_fold.results)),
            out_of_fold.scored.metrics[config.objective],
        )
    baselines = with_gains(baselines, metrics, objective=config.objective)
    result = RunResult(
        status=status,
        objective=Objective(name=config.objective, value=value, direction=config.direction),
        metrics=metrics,
        parameters=progress.parameters,
        seconds=progress.seconds,
        memory=progress.memory,
        # once exported, the best epoch need not be kept twice
        disk_bytes=exported + sum(record.bytes for record in kept if not (exported and record.kind == "best")),
        written_bytes=progress.written_bytes,
        tokens=progress.tokens,
        epochs=progress.epochs,
        best_epoch=math.ceil(best.epoch) if best else None,
        config=config.model_dump(mode="json"),
        environment=progress.environment,
        base=progress.base,
        augmentation_models=progress.augmentation_models,
        frozen_layers=progress.frozen_layers,
        micro_batch_tokens=progress.micro_batch_tokens,
        data=progress.data,
        started_from=progress.started_from,
        pretraining=pretraining,
        folds=out_of_fold.records if out_of_fold else (),
        changed_rows=progress.changed_rows,
        checkpoints=kept,
        reason=reason,
        finished_at=datetime.now(UTC),
        baselines=baselines,
        notes=(*baseline_notes(baselines, metrics, config), *_notes(config, folder, progress, best))
        if status == "completed"
        else (),
    )
    folder.write_result(result)
    store.end_run(folder)
    return result


def with_folds(progress: Progress, folds: Sequence[RunResult], *, of: int) -> Progress:
    """What cross-validation has cost in all.

    Args:
        progress: of the final model, if there is one.
        folds: that are finished, of so many.
    """
    spent: list[Progress | RunResult] = [progress, *folds]
    tokens = Tokens(
        real=sum(each.tokens.real for each in spent), processed=sum(each.tokens.processed for each in spent)
    )
    update = {
        "seconds": sum((each.seconds for each in spent), Seconds()),
        "tokens": tokens,
        "written_bytes": sum(each.written_bytes for each in spent),
        "epochs": progress.epochs or sum(fold.epochs for fold in folds) / of,
        "changed_rows": sum(each.changed_rows for each in spent),
        "memory": max((each.memory for each in spent), key=lambda memory: memory.peak),
        "environment": progress.environment or folds[0].environment,
        "base": progress.base or folds[0].base,
        "parameters": progress.parameters or folds[0].parameters,
    }
    return progress.model_copy(update=update)


def _notes(config: RunConfig, folder: RunFolder, progress: Progress, best: CheckpointRecord | None) -> tuple[str, ...]:
    if progress.data is None or best is None:
        return ()
    lines = [line for line in read_metrics(folder.metrics, "train/loss") if line["name"] == "train/loss"]
    losses = [(line["epoch"], value) for line in lines if (value := line["value"]) is not None]
    curves = Curves(
        loss=history(folder.metrics, "loss"),
        objective=history(folder.metrics, config.objective),
        training=[value for epoch, value in losses if epoch > math.ceil(progress.epochs) - 1],
        epochs=progress.epochs,
        steps=max(1, round(best.step / best.epoch)),
    )
    return notes_of(config, progress.data, curves, best.metrics)
