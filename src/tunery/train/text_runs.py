"""`peft: tfidf` and `peft: majority`: runs without a neural network. They take seconds and have no resume points."""

from collections.abc import Callable
from typing import Final

import torch

from tunery.baselines.targets import LinearTargets
from tunery.baselines.text_model import TextModel, constant_model, fit_text_model
from tunery.hardware import peak_memory
from tunery.schema import RunConfig
from tunery.schema.config.peft import Majority, Peft, Tfidf
from tunery.schema.results.run import Baseline, CheckpointRecord, Parameters, Progress, RunResult
from tunery.schema.spec import Spec
from tunery.store.folder import RunFolder
from tunery.store.objects.objects import room_for
from tunery.store.study import StudyStore
from tunery.train.artifacts.publish import live_text_model, publish, verify
from tunery.train.conclude import (
    UNSCORED,
    Purpose,
    decided_out_of_fold,
    finish,
    keep_answers,
    scored_on_test,
)
from tunery.train.loop.callbacks import record_only_epoch
from tunery.train.loop.clock import Clock
from tunery.train.out_of_fold import OutOfFold
from tunery.train.predict.scoring import score
from tunery.train.predict.text_network import TextNetwork, texts_of
from tunery.train.setup.environment import environment
from tunery.train.setup.prepare import Prepared

Fit = Callable[[list[str], LinearTargets, int], TextModel]

TEXT_MODELS: Final[dict[type[Spec], Fit]] = {
    Tfidf: lambda texts, targets, seed: fit_text_model(texts, targets, seed=seed),
    Majority: lambda texts, targets, seed: constant_model(targets),
}
"""Texts, what is right of them, and a seed become a model."""


def fit_text(spec: Peft, prepared: Prepared, targets: LinearTargets, *, seed: int) -> TextModel:
    """The model without a neural network that `spec` names.

    Args:
        targets: of the training rows.
    """
    texts = texts_of(prepared.splits.train.examples)
    return TEXT_MODELS[type(spec)](texts, targets, seed)


def fit_text_run(
    config: RunConfig,
    prepared: Prepared,
    targets: LinearTargets,
    store: StudyStore,
    folder: RunFolder,
    *,
    purpose: Purpose,
    clock: Clock,
    texts: bool | None,
    baselines: tuple[Baseline, ...],
    out_of_fold: OutOfFold | None,
) -> RunResult:
    """Fit, score, export and record.

    Args:
        targets: of the training rows.
        texts: as in `conclude`.
        baselines: as in `conclude`.
        out_of_fold: as in `conclude`.
    """
    task = prepared.task
    with clock.phase("train"):
        model = fit_text(config.peft, prepared, targets, seed=config.seed)
    network = TextNetwork(model, task=task)
    with clock.phase("evaluate"):
        answers = network.answers(prepared.splits.validation.examples)
        metrics = score(task, answers, prepared.truth["validation"])
    tensors = {name: torch.from_numpy(array.copy()) for name, array in model.tensors().items()}
    best = CheckpointRecord(
        kind="best", step=1, epoch=1.0, digest="", bytes=0, value=metrics[config.objective], metrics=metrics
    )

    def keep() -> CheckpointRecord:
        digest, size = folder.objects.put(tensors, reference=None)
        kept = best.model_copy(update={"digest": digest, "bytes": size})
        folder.write_kept([kept])
        return kept

    best = store.write(room_for(tensors), keep)
    record_only_epoch(config, folder, metrics)
    live, room, test = live_text_model(model, prepared, config), room_for(tensors), UNSCORED
    if out_of_fold is not None:
        best = decided_out_of_fold(prepared, answers, best, folder, out_of_fold.scored.state)
    if purpose is Purpose.FOLD:
        with clock.phase("evaluate"):
            test = keep_answers(prepared, network.answers(prepared.splits.test.examples), best, folder)
    elif purpose is Purpose.TRIAL:
        store.export(room, lambda: verify(live, best=best, staging=folder.staging / "export"))
    else:
        predictor = store.export(room, lambda: publish(live, best=best, folder=folder.path / "best"))
        test = scored_on_test(predictor, prepared.splits.test, folder, clock=clock, texts=texts)
    count = model.linear.weight.size + model.linear.bias.size
    progress = Progress(
        parameters=Parameters(trainable=count, total=count, percent=100.0),
        seconds=clock.seconds(),
        memory=peak_memory(torch.device("cpu")),
        epochs=1,
        environment=environment(torch.device("cpu"), precision="fp32", reason="no neural network"),
        data=prepared.record(),
    )
    return finish(
        store,
        folder,
        config,
        "completed",
        progress=progress,
        test=test,
        baselines=baselines,
        out_of_fold=out_of_fold,
    )
