"""Continued pretraining: each stage is a run of a language model whose weights take the place of the base's.

A stage is identified by what it is trained from and on: its config, the digest of its base, and its texts. It lies in
`pretrain/<digest>/` of the run, study or comparison. Whichever run needs it first trains it, and all others there take
what it has learned. Its weights are kept as what differs from its base, and are put on that wherever the base is loaded
(`Base.pretrained`).
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, final

from torch import Tensor
from transformers import (
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from tunery.errors import FolderError, Interrupted, ModelError
from tunery.model.backbones.backbone import PRETRAINED, base_digest
from tunery.model.backbones.catalog import Base, Pretrained
from tunery.model.build import build
from tunery.model.peft.chosen import method_of
from tunery.model.reference import reference_of
from tunery.model.trainable import load_trainable
from tunery.schema.config.checkpoint import Checkpoint
from tunery.schema.reading.document import validate
from tunery.schema.reading.yaml_text import read_yaml
from tunery.schema.results.run import CheckpointRecord, PretrainRecord
from tunery.store.disk.lock import Holder
from tunery.store.disk.ownership import PRETRAIN
from tunery.store.disk.run_lock import run_lock
from tunery.store.folder import RunFolder
from tunery.store.objects.digest import digest_of
from tunery.store.objects.objects import Reference
from tunery.store.study import StudyStore
from tunery.tasks.table import make_task
from tunery.train.conclude import Purpose, conclude
from tunery.train.loop.callbacks import history
from tunery.train.loop.clock import Clock
from tunery.train.loop.state import random_state, restore_random_state
from tunery.train.loop.training import Training
from tunery.train.memory.run_budget import with_budget
from tunery.train.setup.assemble import assemble, with_resolved_head
from tunery.train.setup.estimate import Part, Sizes, require_room, sizes_of
from tunery.train.setup.pretraining_stages import Stage
from tunery.train.signals import Signals

_RUNG: Final = "@"
_LETTERS: Final = 12
"""Of a digest, as `is_stage` knows them."""
_RECORD: Final = "result.json"
_LOOK: Final = 0.2
"""Seconds between two looks whether another process has left a stage."""


@dataclass(frozen=True)
class PlacedStage:
    """A stage and where it is trained, or has been."""

    stage: Stage
    """On the base that it is trained on."""
    store: StudyStore
    folder: RunFolder

    @property
    def learned(self) -> Base:
        """Its base with what it learns, which is read where it is needed."""
        return _learned(self.folder.path, self.stage.prepared.base, rung=self.stage.rung)

    @property
    def weights(self) -> CheckpointRecord:
        """Those that are taken of it, when it is finished."""
        return _taken(self.folder, self.stage.rung)

    def record(self) -> PretrainRecord:
        """What it says of itself when it is finished."""
        result, losses = self.folder.result(), history(self.folder.metrics, "loss")
        return PretrainRecord(
            name=self.stage.name,
            digest=self.stage.digest,
            texts=len(self.stage.prepared.splits.train.examples),
            left_out=self.stage.left_out,
            steps=self.weights.step,
            epoch=self.weights.epoch,
            losses=tuple(losses[: self.stage.rung]),
            seconds=result.seconds.total if result else 0.0,
            disk_bytes=sum({record.digest: record.bytes for record in self.folder.kept()}.values()),
        )


def placed_stages(
    stages: Sequence[Stage], base: Base, store: StudyStore, *, signals: Signals, say: Callable[[str], None]
) -> list[PlacedStage]:
    """Stages in their order, each on the base that the one before it leaves; nothing is written.

    Args:
        base: as its files have it.
        store: of the run or study.
    """
    placed = list[PlacedStage]()
    for stage in stages:
        ready = replace(stage, prepared=replace(stage.prepared, base=base))
        ready = replace(ready, digest=_digest(ready))
        own = StudyStore(
            store.pretrain / ready.digest,
            ready.config.checkpoint,
            direction=ready.config.direction,
            above=store,
            say=partial(_tell, say, ready.name),
            stopping=signals.stop_requested,
        )
        placed.append(PlacedStage(ready, own, own.run()))
        base = placed[-1].learned
    return placed


def require_trainable(
    placed: Sequence[PlacedStage],
    store: StudyStore,
    folder: RunFolder,
    *,
    rule: Checkpoint,
    sizes: Sizes,
    n_jobs: int | None,
) -> None:
    """See that the stages of a run are those that it was begun with, and find room with it. Nothing is written.

    Args:
        store: of the run or study.
        folder: of the run.
        rule: what the run keeps.
        sizes: of the run itself, which needs room beside its stages.
        n_jobs: as in `require_room`.

    Raises:
        RequestError: model or disk do not allow it.
        FolderError: the texts are not those of an earlier call.
    """
    learned, before = base_digest(placed[-1].learned), folder.progress().base
    if before is not None and learned != before:
        raise FolderError(
            f"the run was begun on a base that was pretrained with other texts or settings ({before.partition('+')[2]} "
            f"then, {learned.partition('+')[2]} now); put them back, or choose another --out"
        )
    if beside := required_room(placed):
        require_room(sizes, rule, store=store, folder=folder, n_jobs=n_jobs, beside=beside)


def required_room(placed: Sequence[PlacedStage]) -> list[Part]:
    """See that those of some stages that are not finished can be trained and find room.

    Returns:
        What they will leave on disk.

    Raises:
        RequestError: model or disk do not allow it.
    """
    parts = list[Part]()
    for each in placed:
        if not each.folder.is_finished():
            stage = each.stage
            prepared = replace(stage.prepared, base=replace(stage.prepared.base, pretrained=None))  # not learned yet
            sizes, rule = (
                sizes_of(assemble(with_resolved_head(stage.config, prepared), prepared)),
                stage.config.checkpoint,
            )
            require_room(sizes, rule, store=each.store, folder=each.folder, n_jobs=None, beside=parts)
            parts.append(Part(len(rule.keep_after) + 1, f"weights of {stage.name}", sizes.weights))
    return parts


def train_stages(placed: Sequence[PlacedStage], signals: Signals) -> None:
    """Train what is not finished of some stages, or resume it, one after the other. A stage that another process trains
    is waited for.

    Raises:
        RequestError: the disk does not allow it.
        Interrupted: after a resume point was saved.
    """
    for each in placed:
        if not (each.folder.is_finished() and each.folder.is_closed()):
            _train(each, signals)


def recorded_pretraining(base: Base, digest: str | None, root: Path) -> Base:
    """A base with what it had learned in continued pretraining when something was trained on it.

    Args:
        base: as its files have it.
        digest: what `base_digest` was then.
        root: of the study or run, or a cell of a comparison.

    Raises:
        ModelError: the weights of a stage are not there any more.
    """
    for name in (digest or "").split(PRETRAINED)[1:]:
        stage, _, rung = name.partition(_RUNG)
        places = [root / PRETRAIN / stage, *(parent / PRETRAIN / stage for parent in list(root.parents)[:3])]
        folder = next((place for place in places if RunFolder(place).is_finished()), None)
        if folder is None:
            raise ModelError(
                f"what was trained needs its base after continued pretraining, which was {str(places[0])!r}, but that "
                "is not there; put it back"
            )
        base = _learned(folder, base, rung=int(rung) if rung else None)
    return base


def _digest(stage: Stage) -> str:
    document = stage.config.model_dump(mode="json", include={"seed", "task", "model", "peft", "optim", "train"})
    for key in ("micro_batch_tokens", "eval_batch_size", "log_every", "workers"):
        del document["train"][key]
    del document["model"]["name"]  # a folder may be moved; the digest of the base says what it is
    splits = {split.name: split.digest for split in stage.prepared.splits}
    depends_on = {
        "base": base_digest(stage.prepared.base),
        "config": document,
        "rungs": stage.config.checkpoint.keep_after,
        "texts": splits,
    }
    return digest_of(json.dumps(depends_on, sort_keys=True).encode())[:_LETTERS]


@final
class TellEpochs(TrainerCallback):
    """Says after every epoch what the held-out texts say."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """One line per epoch."""
        loss = given["metrics"]["loss"]
        shown = "undefined" if loss is None else f"{loss:.4f}"
        self._tell(f"step {state.global_step:,} of {state.max_steps:,}, held-out loss {shown}")


def _train(placed: PlacedStage, signals: Signals) -> None:
    """Train a stage to its end, from its newest resume point or its start, or wait until another process has. It is
    exported and read back as any run is, to see that its weights can be kept; the export goes."""
    stage, store, folder = placed.stage, placed.store, placed.folder
    config, prepared = with_resolved_head(stage.config, stage.prepared), stage.prepared
    document, data = config.model_dump(mode="json"), prepared.record()
    wait = partial(_wait, store.say, signals, set[Holder]())
    with run_lock(folder.path, document, record=_RECORD, data=data, root=folder.path, wait=wait):
        if folder.is_finished():
            return store.end_run(folder)  # another process has trained it, or died while it ended it
        clock = Clock(folder.progress().seconds)
        with clock.phase("load"):
            run = assemble(config, prepared)
            sizes = sizes_of(run)
            before = folder.progress().micro_batch_tokens
            run = with_budget(run, recorded=before, n_jobs=1, say=store.say)
        run.built.module.register_forward_hook(partial(_look, signals))
        if stage.left_out:
            store.say(f"left out {stage.left_out:,} texts or paragraphs that are nearly scored ones")
        store.say(f"{run.steps:,} steps, {len(prepared.splits.train.examples):,} texts")
        tell = TellEpochs(store.say)
        training = Training(run, store, folder, [tell], clock=clock, signals=signals, started_from=None)
        progress = training.finish(start_over=None)
        result = conclude(
            run, store, folder, progress, purpose=Purpose.TRIAL, clock=clock, export_bytes=sizes.export, texts=None
        )
    store.say(f"held-out loss {result.loss:.4f} after epoch {result.best_epoch}, {result.seconds.total:.0f} s")


def _tell(say: Callable[[str], None], name: str, text: str) -> None:
    say(f"{name}: {text}")


def _look(signals: Signals, *of_the_module: object) -> None:
    """Ask whether to stop at every pass through the model, which is a sign of life, also while texts are scored."""
    signals.stop_requested()


def _wait(say: Callable[[str], None], signals: Signals, told: set[Holder], process: Holder) -> None:
    """Wait a moment for another process that trains a stage.

    Args:
        told: of whom it was said.

    Raises:
        Interrupted: something asks to leave.
    """
    if process not in told:
        told.add(process)
        say(f"waiting for {process}, which trains this stage")
    if signals.stop_requested():
        raise Interrupted(f"{signals.by} came while another process trained a stage; the same command goes on")
    time.sleep(_LOOK)


def _taken(folder: RunFolder, rung: int | None) -> CheckpointRecord:
    """The weights of a finished stage: its best, or the best up to an epoch.

    Raises:
        FolderError: it has none.
    """
    kept = {record.rung: record for record in folder.kept() if record.kind != "co_best"}
    record = kept.get(rung, kept.get(None))
    if record is None:
        raise FolderError(
            f"{str(folder.path)!r} must keep the weights of continued pretraining, but has none; remove that folder, "
            "and the same command trains it again"
        )
    return record


def _learned(path: Path, base: Base, *, rung: int | None) -> Base:
    """A base with what a stage learns on it; the stage is finished before that is read."""
    name = path.name if rung is None else f"{path.name}{_RUNG}{rung}"
    digest = name if base.pretrained is None else f"{base.pretrained.digest}{PRETRAINED}{name}"
    return replace(base, pretrained=Pretrained(digest, partial(_read, RunFolder(path), rung, base)))


def _read(folder: RunFolder, rung: int | None, base: Base) -> dict[str, Tensor]:
    """The parameters of the backbone that a stage ended with; see `trained_model`."""
    model = trained_model(folder, rung, base)
    return {name: value.detach() for name, value in model.base_model.named_parameters()}


def trained_model(folder: RunFolder, rung: int | None, base: Base) -> PreTrainedModel:
    """The language model that a stage ended with; what a method has learned is folded in. No random state moves.

    Args:
        folder: of the stage, which is finished.
        rung: the epoch up to which the best is taken; None: all of them.
        base: that it was trained on.

    Raises:
        FolderError: its weights are gone.
    """
    before, path, record = random_state(), folder.path / "config.yaml", _taken(folder, rung)
    try:
        config = validate(read_yaml(path), source=str(path))
        outputs = make_task(config.task, (), {}).outputs
        set_seed(config.seed)  # a new head begins as it did before training
        built = build(config.model, outputs=outputs, peft=config.peft, freeze=config.freeze, base=base)
        load = reference_of(built, spec=config.model, outputs=outputs)
        reference = None if load is None else Reference(built.base_digest, load)
        load_trainable(built, folder.objects.get(record.digest, reference=reference))
        return method_of(config.peft).merge(config.peft, built.pretrained)
    finally:
        restore_random_state(before)
