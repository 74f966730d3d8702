"""Continued pretraining: each stage is a run of a language model whose weights take the place of the base's.

A stage is identified by what it is trained from and on: its config, the digest of its base, and its texts. It lies in
`pretrain/<digest>/` of the run, study or comparison that needs it first; all others there take what it has learned. Its
weights are kept as what differs from its base, and are put on that wherever the base is loaded (`Base.pretrained`).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, final

from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunery.errors import FolderError, ModelError
from tunery.model.backbones.backbone import PRETRAINED, base_digest
from tunery.model.backbones.catalog import Base, Pretrained
from tunery.model.build import build
from tunery.model.peft.methods import METHODS
from tunery.model.reference import reference_of
from tunery.model.trainable import load_trainable
from tunery.schema.reading.document import validate
from tunery.schema.reading.yaml_text import read_yaml
from tunery.schema.results.run import CheckpointRecord, PretrainRecord
from tunery.store.disk.files import make_folder
from tunery.store.disk.lock import alone
from tunery.store.disk.ownership import PRETRAIN
from tunery.store.disk.run_lock import run_lock
from tunery.store.folder import RunFolder
from tunery.store.objects.digest import digest_of
from tunery.store.objects.objects import Reference
from tunery.store.study import StudyStore
from tunery.tasks.table import make_task
from tunery.train.conclude import conclude
from tunery.train.loop.callbacks import history
from tunery.train.loop.clock import Clock
from tunery.train.loop.state import random_state, restore_random_state
from tunery.train.loop.training import Training
from tunery.train.setup.assemble import assemble, with_resolved_head
from tunery.train.setup.estimate import require_room, sizes_of
from tunery.train.setup.pretraining_stages import Stage
from tunery.train.signals import Signals

_RUNG: Final = "@"
_LETTERS: Final = 12
_RECORD: Final = "result.json"


@dataclass(frozen=True)
class Trained:
    """A finished stage."""

    stage: Stage
    """On the base that it was trained on."""
    folder: RunFolder
    weights: CheckpointRecord
    """Those that are taken of it."""

    def record(self) -> PretrainRecord:
        """What it says of itself."""
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
        )


def pretrained_base(
    stages: Sequence[Stage],
    base: Base,
    store: StudyStore,
    *,
    before: str | None,
    signals: Signals,
    say: Callable[[str], None],
) -> tuple[Base, tuple[PretrainRecord, ...]]:
    """The base of a run after its stages (`train_stages`).

    Args:
        before: digest of the base that an earlier call has used, which must be the same; None: there was none.

    Raises:
        RequestError: model or disk do not allow it.
        FolderError: the texts are not those of an earlier call.
        Interrupted: after a resume point was saved.
    """
    base, trained = train_stages(stages, base, store, signals=signals, say=say)
    if before is not None and base_digest(base) != before:
        raise FolderError(
            f"the run was begun on a base that was pretrained with other texts or settings ({before.partition('+')[2]} "
            f"then, {base_digest(base).partition('+')[2]} now); put them back, or choose another --out"
        )
    return base, tuple(each.record() for each in trained)


def train_stages(
    stages: Sequence[Stage], base: Base, store: StudyStore, *, signals: Signals, say: Callable[[str], None]
) -> tuple[Base, list[Trained]]:
    """Train what is not finished of some stages, or resume it, one after the other. One process at a time does so in a
    folder, and others wait for it.

    Args:
        base: as its files have it.
        store: of the run or study.

    Returns:
        The base with what it has learned, and the stages.

    Raises:
        RequestError, Interrupted: as `pretrained_base` does.
    """
    trained = list[Trained]()
    make_folder(store.pretrain)
    with alone(store.pretrain, say=say):
        for stage in stages:
            ready = replace(stage, prepared=replace(stage.prepared, base=base))
            ready = replace(ready, digest=_digest(ready))
            folder = RunFolder(store.pretrain / ready.digest)
            if not folder.is_finished():
                if ready.left_out:
                    say(f"{stage.name}: left out {stage.left_out:,} texts or paragraphs that are nearly scored ones")
                _train(ready, folder.path, signals=signals, say=say)
            base = replace(base, pretrained=_learned(folder.path, base, rung=stage.rung))
            trained.append(Trained(ready, folder, _taken(folder, stage.rung)))
    return base, trained


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
        base = replace(base, pretrained=_learned(folder, base, rung=int(rung) if rung else None))
    return base


def _digest(stage: Stage) -> str:
    document = stage.config.model_dump(mode="json", include={"seed", "task", "model", "peft", "optim", "train"})
    for key in ("micro_batch_tokens", "eval_batch_size", "gradient_checkpointing", "log_every", "workers"):
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


def _train(stage: Stage, path: Path, *, signals: Signals, say: Callable[[str], None]) -> None:
    """Train a stage to its end, from its newest resume point or its start. It is exported and read back as any run is,
    to see that its weights can be kept; the export goes."""
    config, prepared = with_resolved_head(stage.config, stage.prepared), stage.prepared

    def tell(text: str) -> None:
        say(f"{stage.name}: {text}")

    store = StudyStore(path, config.checkpoint, direction=config.direction, say=tell, stopping=signals.stop_requested)
    folder = store.run()
    clock = Clock(folder.progress().seconds)
    with clock.phase("load"):
        run = assemble(config, prepared)
        sizes = sizes_of(run)
        require_room(sizes, config.checkpoint, store=store, folder=folder, n_jobs=None)
    tell(f"{run.steps:,} steps, {len(prepared.splits.train.examples):,} texts")
    document, data = config.model_dump(mode="json"), prepared.record()
    with run_lock(path, document, record=_RECORD, data=data, root=path):
        training = Training(run, store, folder, [TellEpochs(tell)], clock=clock, signals=signals, started_from=None)
        progress = training.finish(start_over=None)
        result = conclude(
            run, store, folder, progress, is_trial=True, clock=clock, export_bytes=sizes.export, texts=None
        )
    tell(f"held-out loss {result.loss:.4f} after epoch {result.best_epoch}, {result.seconds.total:.0f} s")


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


def _learned(path: Path, base: Base, *, rung: int | None) -> Pretrained:
    """What a finished stage has learned.

    Args:
        base: that it was trained on.
    """
    folder = RunFolder(path)
    record = _taken(folder, rung)
    name = path.name if rung is None else f"{path.name}{_RUNG}{rung}"
    digest = name if base.pretrained is None else f"{base.pretrained.digest}{PRETRAINED}{name}"
    return Pretrained(digest, lambda: _read(folder, record, base))


def _read(folder: RunFolder, record: CheckpointRecord, base: Base) -> dict[str, Tensor]:
    """The parameters of the backbone that a stage ended with; what a method has learned is folded in."""
    before, path = random_state(), folder.path / "config.yaml"
    try:
        config = validate(read_yaml(path), source=str(path))
        outputs = make_task(config.task, (), {}).outputs
        built = build(config.model, outputs=outputs, peft=config.peft, freeze=config.freeze, base=base)
        load = reference_of(built, spec=config.model, outputs=outputs)
        reference = None if load is None else Reference(built.base_digest, load)
        load_trainable(built, folder.objects.get(record.digest, reference=reference))
        merged = METHODS[type(config.peft)].merge(config.peft, built.pretrained)
        return {name: value.detach() for name, value in merged.base_model.named_parameters()}
    finally:
        restore_random_state(before)
