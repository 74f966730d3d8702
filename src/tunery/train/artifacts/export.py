"""`tunery export`: weights that a run or study keeps become a folder of their own, like its `best/`."""

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tunery.data.examples import Example
from tunery.errors import FolderError
from tunery.model.export import export_merged
from tunery.schema.reading.document import validate
from tunery.schema.reading.yaml_text import read_yaml
from tunery.schema.results.ranking import ranking_key
from tunery.schema.results.run import CheckpointRecord
from tunery.schema.results.study import StudyResult
from tunery.store.disk.files import replace_folder, require_writable
from tunery.store.disk.lock import holder
from tunery.store.disk.ownership import TRIALS, temporary
from tunery.store.disk.run_lock import read_study
from tunery.store.exported import CARD, MODEL_CARD, exported_in, require_new
from tunery.store.folder import RunFolder
from tunery.train.artifacts.publish import export_checked, scratch_folder
from tunery.train.artifacts.restore import StoredWeights
from tunery.train.artifacts.verify import require_same
from tunery.train.predict.card import read_card
from tunery.train.predict.inference import load, tokenizer_of

_FIRST: Final[tuple[float, ...]] = (-math.inf,)
_LAST: Final[tuple[float, ...]] = (math.inf, math.inf)
"""Ranks of a winner, and of a trial without a value."""
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
    kept = _chosen(run, trial=trial, step=step, trust_remote_code=trust_remote_code)
    require_writable(target.parent)
    with scratch_folder(temporary(target)) as staging:
        source, staged = kept.exported(staging / "kept"), staging / "export"
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
    if (process := holder(root)) is not None:
        raise FolderError(f"{str(root)!r} is in use by {process}, who may remove what is read; wait for it")


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
    if (source / MODEL_CARD).is_file():
        shutil.copyfile(source / MODEL_CARD, folder / MODEL_CARD)


@dataclass(frozen=True)
class _Kept:
    """Weights that are there."""

    trial: int | None
    step: int
    rank: tuple[float, ...]
    """Orders the trials of a study: the least is the best."""
    exported: Callable[[Path], Path]
    """Gives an exported folder of them, which may be written to the folder that it is called with."""

    def __str__(self) -> str:
        return f"step {self.step}" if self.trial is None else f"trial {self.trial} step {self.step}"


def _chosen(run: Path, *, trial: int | None, step: int | None, trust_remote_code: bool) -> _Kept:
    every = sorted(
        (*_published(run), *_stored(run, trust_remote_code=trust_remote_code)),
        key=lambda kept: (kept.rank, kept.trial or 0, kept.step),
    )
    if not every:
        exported_in(run)  # says why there is none
    for kept in every:
        if trial in (None, kept.trial) and step in (None, kept.step):
            return kept
    asked = [f"{name} {number}" for name, number in (("trial", trial), ("step", step)) if number is not None]
    rule = f"only weights that are kept can be exported, but those of {' '.join(asked)} are not"
    raise FolderError(f"{rule}; {str(run)!r} keeps {', '.join(dict.fromkeys(map(str, every)))}")


def _published(run: Path) -> Iterator[_Kept]:
    """What was exported when the work was done, which comes before the same as an object.

    Of a study that has ended, that is the winner: by its mean over seeds, so not always the trial of the best value.
    """
    study = read_study(run)
    for folder in (run, run / "best"):
        if not (folder / CARD).is_file():
            continue
        step, winner = read_card(folder).step, study.best if study else None
        export = partial(_published_folder, folder)
        if study is None or winner is None:
            yield _Kept(None, step, (), export)
            continue
        rank = _FIRST
        if not _has_ended(study, _trials(run)):
            loss = next((trial.loss for trial in study.trials if trial.number == winner.number), None)
            rank = ranking_key(winner.value, loss, direction=study.direction)
        yield _Kept(winner.number, step, rank, export)


def _published_folder(folder: Path, staging: Path) -> Path:
    return folder


def _stored(run: Path, *, trust_remote_code: bool) -> Iterator[_Kept]:
    """What is kept as objects."""
    root, trials = RunFolder(run), _trials(run)
    export_object = partial(_export_object, root=run, trust_remote_code=trust_remote_code)
    for record in root.kept():
        yield _Kept(None, record.step, (), partial(export_object, record, root, unfinished=not root.is_finished()))
    unfinished = not _has_ended(read_study(run), trials)
    for number in trials:
        folder, rank = RunFolder(run / TRIALS / str(number), objects=root.objects), _LAST
        result = folder.result()
        if result is not None and result.status == "completed":
            rank = ranking_key(result.objective.value, result.loss, direction=result.objective.direction)
        for record in folder.kept():
            yield _Kept(number, record.step, rank, partial(export_object, record, folder, unfinished=unfinished))


def _trials(run: Path) -> list[int]:
    return sorted(int(path.name) for path in run.glob(f"{TRIALS}/*") if path.name.isdecimal())


def _has_ended(study: StudyResult | None, trials: Sequence[int]) -> bool:
    """Whether the record of a study knows all of its trials."""
    return study is not None and {trial.number for trial in study.trials}.issuperset(trials)


def _export_object(
    record: CheckpointRecord,
    folder: RunFolder,
    staging: Path,
    *,
    root: Path,
    unfinished: bool,
    trust_remote_code: bool,
) -> Path:
    """Build the model again as the run in `folder` built it, and export it to `staging`.

    Args:
        root: of the study, or the run itself.
    """
    require_idle(root)
    path = folder.path / "config.yaml"
    config, progress = validate(read_yaml(path), source=str(path)), folder.result() or folder.progress()
    weights = StoredWeights(config, record, folder.objects, progress.data, progress.base, trust_remote_code)
    export_checked(weights.restore(), best=record, folder=staging, unfinished=unfinished)
    return staging
