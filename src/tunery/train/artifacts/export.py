"""`tunery export`: weights that a run or study keeps become a folder of their own, like its `best/`."""

import math
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

from tunery.data.examples import Example
from tunery.errors import FolderError
from tunery.model.export import export_merged
from tunery.schema.reading.document import validate
from tunery.schema.reading.yaml_text import read_yaml
from tunery.schema.results.ranking import ranking_key
from tunery.schema.results.run import CheckpointRecord, RunResult
from tunery.schema.results.study import StudyResult
from tunery.store.disk.files import replace_folder, require_writable
from tunery.store.disk.lock import holder
from tunery.store.disk.ownership import temporary
from tunery.store.disk.run_lock import read_study
from tunery.store.exported import CARD, exported_in, require_new
from tunery.store.folder import RunFolder
from tunery.train.artifacts.publish import export_checked, scratch_folder
from tunery.train.artifacts.restore import restore
from tunery.train.artifacts.verify import require_same
from tunery.train.predict.inference import load, read_card, tokenizer_of

_FIRST, _LAST = (-math.inf,), (math.inf, math.inf)
_SENTENCE = "It was not the film that we had hoped for, but the last of its seven parts was worth the long wait."
_PROBES = tuple(Example(_SENTENCE[:end]) for end in range(6, len(_SENTENCE), 6))
"""Texts on which two folders are compared: the data that a model was trained on may be gone by now."""


def export_run(
    run: Path,
    out: Path,
    *,
    trial: int | None = None,
    step: int | None = None,
    merge: bool = False,
    trust_remote_code: bool = False,
) -> Path:
    """Export the best weights of a run, study or comparison, or others that it keeps, to the new folder `out`.

    The folder is what `best/` is, and is compared in another process before it gets its name. Of what is unfinished,
    the best so far is exported, and the card says so.

    Args:
        trial: a trial of a study, in place of the best one.
        step: an epoch by its last optimizer step, in place of the best one.
        merge: fold what a PEFT method has learned into the base's weights, so that plain transformers reads it.
        trust_remote_code: permits code that comes with the model.

    Raises:
        FolderError: `out` is not free, the weights are not kept, or another process works on them.
        ModelError: the method or a quantised base does not allow to merge.
        DataError: the data is needed to restore the weights, and is not what it was.
        ExportMismatch: the exported model does not answer as it should; nothing was written.
    """
    target = out.resolve()
    require_new(target, run)
    kept = _chosen(run, trial=trial, step=step)
    require_writable(target.parent)
    with scratch_folder(temporary(target)) as staging:
        source, staged = kept.exported(staging / "kept", trust_remote_code=trust_remote_code), staging / "export"
        if merge:
            _write_merged(source, staged, trust_remote_code=trust_remote_code)
        else:
            shutil.copytree(source, staged)
        live = load(source, trust_remote_code=trust_remote_code)
        require_same(staged, live, _PROBES, trust_remote_code=trust_remote_code)
        replace_folder(staged, target)
    return out


def require_idle(root: Path) -> None:
    """Look whether another process works on a run or study.

    Raises:
        FolderError: when one does.
    """
    if (who := holder(root)) is not None:
        raise FolderError(f"{str(root)!r} is in use by {who}, who may remove what is read; wait for it")


def _write_merged(source: Path, folder: Path, *, trust_remote_code: bool) -> None:
    card = read_card(source)
    export_merged(
        source,
        tokenizer_of(source, card.config, trust_remote_code=trust_remote_code),
        folder,
        outputs=card.task.outputs,
        spec=card.config.model,
        peft=card.config.peft,
        base=card.base,
        trust_remote_code=trust_remote_code,
    )
    shutil.copyfile(source / CARD, folder / CARD)


@dataclass(frozen=True)
class _Kept(ABC):
    """Weights that are there."""

    trial: int | None
    step: int
    standing: tuple[float, ...]
    """Orders the trials of a study: the least is the best."""

    @abstractmethod
    def exported(self, staging: Path, *, trust_remote_code: bool) -> Path:
        """An exported folder of them, which may be written to `staging`."""

    def __str__(self) -> str:
        return f"step {self.step}" if self.trial is None else f"trial {self.trial} step {self.step}"


@final
@dataclass(frozen=True)
class _Published(_Kept):
    """A folder that was exported when the work was done."""

    folder: Path

    def exported(self, staging: Path, *, trust_remote_code: bool) -> Path:
        """They are."""
        return self.folder


@final
@dataclass(frozen=True)
class _Stored(_Kept):
    """An object."""

    root: Path
    """Of the study, or the run itself."""
    folder: RunFolder
    record: CheckpointRecord
    unfinished: bool

    def exported(self, staging: Path, *, trust_remote_code: bool) -> Path:
        """The model is built again as the run built it."""
        require_idle(self.root)
        path = self.folder.path / "config.yaml"
        config = validate(read_yaml(path), source=str(path))
        told = self.folder.result() or self.folder.progress()
        model = restore(
            config,
            self.record,
            self.folder.objects,
            data=told.data,
            base=told.base,
            trust_remote_code=trust_remote_code,
        )
        export_checked(
            model.built, model.prepared, model.config, best=self.record, folder=staging, unfinished=self.unfinished
        )
        return staging


def _chosen(run: Path, *, trial: int | None, step: int | None) -> _Kept:
    every = sorted(_kept(run), key=lambda kept: (kept.standing, kept.trial or 0, kept.step))
    if not every:
        exported_in(run)  # says why there is none
    for kept in every:
        if trial in (None, kept.trial) and step in (None, kept.step):
            return kept
    wanted = [f"{name} {number}" for name, number in (("trial", trial), ("step", step)) if number is not None]
    there = ", ".join(dict.fromkeys(map(str, every)))
    rule = f"only weights that are kept can be exported, but those of {' '.join(wanted)} are not"
    raise FolderError(f"{rule}; {str(run)!r} keeps {there}")


def _kept(run: Path) -> Iterator[_Kept]:
    """All there is; what is exported already comes before the same as an object."""
    study, root = read_study(run), RunFolder(run)
    trials = sorted(int(path.name) for path in run.glob("trials/*") if path.name.isdecimal())
    open_ended = study is None or not {record.number for record in study.trials}.issuperset(trials)
    yield from _published(run, study, open_ended=open_ended)
    yield from _stored(root, root, trial=None, unfinished=root.result() is None)
    for number in trials:
        folder = RunFolder(run / "trials" / str(number), objects=root.objects)
        yield from _stored(root, folder, trial=number, unfinished=open_ended)


def _published(run: Path, study: StudyResult | None, *, open_ended: bool) -> Iterator[_Published]:
    """Of a study that has ended, the winner; by its mean over seeds, and so not always the trial of the best value."""
    for folder in (run, run / "best"):
        if (folder / CARD).is_file():
            step, winner = read_card(folder).step, study.best if study else None
            if study is None or winner is None:
                yield _Published(None, step, (), folder)
            else:
                place = ranking_key(winner.value, _loss_of(winner.number, study), direction=study.direction)
                yield _Published(winner.number, step, place if open_ended else _FIRST, folder)


def _loss_of(number: int, study: StudyResult) -> float | None:
    return next((trial.loss for trial in study.trials if trial.number == number), None)


def _stored(root: RunFolder, folder: RunFolder, *, trial: int | None, unfinished: bool) -> Iterator[_Stored]:
    place = () if trial is None else _standing(folder.result())
    for record in folder.kept():
        yield _Stored(trial, record.step, place, root.path, folder, record, unfinished)


def _standing(result: RunResult | None) -> tuple[float, ...]:
    if result is None or result.status != "completed":
        return _LAST
    return ranking_key(result.objective.value, result.loss, direction=result.objective.direction)
