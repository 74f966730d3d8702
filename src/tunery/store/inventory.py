"""What a folder holds, and why: looked up in the folder alone, without its config.

Needed is what `checkpoints.json` and the resume points of unfinished runs refer to. Of the rest, what only tunery can
have written (objects, resume points, staging folders, temporaries) is an orphan; every other file is a record.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tunery.schema.results.storage import Storage, StoredItem
from tunery.store.disk.files import entries, size_of
from tunery.store.disk.ownership import (
    BEST,
    CELLS,
    FEATURES,
    FINAL,
    FOLDS,
    LOCK,
    OBJECTS,
    PRETRAIN,
    RESCORED,
    RESUME,
    TRIALS,
    is_number,
    is_stage,
    is_temporary,
    set_aside_from,
)
from tunery.store.exported import MODEL_CARD
from tunery.store.folder import RunFolder
from tunery.store.objects.objects import Objects, digest_in
from tunery.store.resume import is_point

_APART: Final = (OBJECTS, FEATURES, TRIALS, CELLS, RESCORED, PRETRAIN, FOLDS, FINAL)
"""Folders in the root of a study that are looked at by themselves."""

_KINDS: Final = ("best", "co_best", "rung", "resume", "orphan")
"""What an object is called that is there for several reasons: the first of these."""
_EPOCH: Final = {"best": "best epoch", "co_best": "tie of the best epoch", "rung": "best epoch so far"}
_FOREIGN: Final = "not written by tunery"
_LEFT: Final = "left behind by a process that was stopped"


@dataclass(frozen=True)
class _Study:
    """A study, what was trained again at its end, a run of its own, a fold, or a cell of a comparison: what shares one
    `objects/`."""

    root: Path
    base: Path
    """Paths of items are relative to this."""
    title: str
    reasons: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """Name of an object -> kind of all that refers to it, and in words why."""


def storage_of(root: Path) -> Storage:
    """The inventory of a run, study or comparison."""
    root = root.resolve()
    studies = [(study, list(_runs_of(study))) for study in _studies(root)]
    items: list[StoredItem] = []
    for study, runs in studies:
        for run in runs:
            items += _items_of_run(study, run)
        items += _items_of_objects(study)
        items += _items_of_features(study)
    items.sort(key=lambda item: (-item.bytes, item.path))
    records = sum(item.bytes for item in items if item.kind == "records")
    return Storage(
        items=tuple(items),
        bytes=sum(item.bytes for item in items) - records,
        record_bytes=records,
        keep_all_bytes=sum(run.written_bytes() for _, runs in studies for run in runs),
    )


def trials_in(root: Path) -> list[str]:
    """Names of the folders of a study's trials, in the order of their numbers."""
    return sorted(_numbered(root / TRIALS), key=int)


def stages_in(folder: Path) -> list[str]:
    """Names of the folders of the stages of continued pretraining in `pretrain/`, in the order of their names."""
    return sorted(
        entry.name for entry in entries(folder) if is_stage(entry.name) and entry.is_dir(follow_symlinks=False)
    )


def folds_in(root: Path, trials: Iterable[str]) -> list[Path]:
    """Folders of the folds of a run, and of those of some trials of a study."""
    runs = [root, *(root / TRIALS / name for name in trials)]
    return [run / FOLDS / name for run in runs for name in sorted(_numbered(run / FOLDS), key=int)]


def study_roots(root: Path) -> list[Path]:
    """The folders in a run, study or comparison that have objects of their own, the root first."""
    return [study.root for study in _studies(root)]


def run_folders(root: Path) -> list[Path]:
    """Where processes may be at work in a run, study or comparison."""
    return [run.path for study in _studies(root.resolve()) for run in _runs_of(study)]


def _numbered(folder: str | Path) -> list[str]:
    folders = [entry.name for entry in entries(folder) if entry.is_dir(follow_symlinks=False)]
    return [name for name in folders if is_number(name)]


def _studies(root: Path) -> Iterator[_Study]:
    yield from _with_folds(_Study(root, root, ""))
    if (root / RESCORED).is_dir():
        yield from _with_folds(_Study(root / RESCORED, root, " with another seed"))
    for trial in sorted(_numbered(root / FINAL), key=int):
        yield from _with_folds(_Study(root / FINAL / trial, root, f" of the final model of trial {trial}"))
    for stage in stages_in(root / PRETRAIN):
        yield _Study(root / PRETRAIN / stage, root, f" of pretraining {stage}")
    for method in entries(root / CELLS):
        for seed in _numbered(method.path):
            yield from _with_folds(_Study(Path(method, seed), root, f" of {method.name} with seed {seed}"))


def _with_folds(study: _Study) -> Iterator[_Study]:
    yield study
    for fold in folds_in(study.root, trials_in(study.root)):
        trial = f" of trial {fold.parents[1].name}" if fold.parents[1] != study.root else ""
        yield _Study(fold, study.base, f" of fold {fold.name}{trial}{study.title}")


def _runs_of(study: _Study) -> Iterator[RunFolder]:
    """The run of the root, then its trials; they share the objects."""
    objects = Objects(study.root / OBJECTS)
    yield RunFolder(study.root, objects=objects)
    for name in trials_in(study.root):
        yield RunFolder(study.root / TRIALS / name, objects=objects)


def _items_of_run(study: _Study, run: RunFolder) -> Iterator[StoredItem]:
    is_root = run.path == study.root
    owner = study.title if is_root else f" of trial {run.path.name}{study.title}"
    inside = {entry.name: entry for entry in entries(run.path)}
    for record in run.kept() if "checkpoints.json" in inside else ():
        study.reasons[record.digest].append((record.kind, f"{_EPOCH[record.kind]}{owner}"))
    if RESUME in inside:
        yield from _items_of_points(study, run, owner=owner)
    records = 0
    for name, entry in inside.items():
        if name in (RESUME, FOLDS) or (is_root and name in _APART):
            continue
        elif item := _weights(study, entry, owner=owner):
            yield item
            records += _card_bytes(entry)
        else:
            records += size_of(entry)
    yield _item(study, run.path, kind="records", why=f"records{owner}", size=records)


def _items_of_points(study: _Study, run: RunFolder, *, owner: str) -> Iterator[StoredItem]:
    needed, finished = {}, run.is_finished()
    for point in () if finished else run.resume.points():
        why = needed[f"step-{point.step}.json"] = f"resume point{owner} at step {point.step}"
        for digest in point.needs():
            study.reasons[digest].append(("resume", why))
    for entry in entries(run.resume.root):
        if entry.name in needed:
            yield _entry(study, entry, kind="resume", why=needed[entry.name])
        else:
            yield _unneeded(study, entry, owner=owner, finished=finished)


def _unneeded(study: _Study, entry: os.DirEntry[str], *, owner: str, finished: bool) -> StoredItem:
    """A file among the resume points that is none to go on from."""
    if is_temporary(Path(entry)):
        return _entry(study, entry, kind="orphan", why=_LEFT)
    if not is_point(Path(entry)):
        return _entry(study, entry, kind="records", why=_FOREIGN)
    why = "not needed: the run is finished" if finished else "unreadable"
    return _entry(study, entry, kind="orphan", why=f"resume point{owner}, {why}")


def _weights(study: _Study, entry: os.DirEntry[str], *, owner: str) -> StoredItem | None:
    """The item of one entry of a run's folder, unless it is a record."""
    path = Path(entry)
    if entry.name == BEST:
        why, weights = f"the best model{owner}, as other tools load it", size_of(entry) - _card_bytes(entry)
        return _item(study, path, kind="export", why=why, size=weights)
    if is_temporary(path):
        return _entry(study, entry, kind="orphan", why=_LEFT)
    if (target := set_aside_from(path)) is not None:
        if target.exists():
            return _entry(study, entry, kind="orphan", why=_LEFT)
        return _entry(study, entry, kind="export", why="set aside, and put back by the next command")
    return None


def _card_bytes(exported: os.DirEntry[str]) -> int:
    """Of the model card in an exported folder, which is a record."""
    with suppress(OSError):
        return os.lstat(Path(exported) / MODEL_CARD).st_size
    return 0


def _items_of_objects(study: _Study) -> Iterator[StoredItem]:
    for entry in entries(study.root / OBJECTS):
        path = Path(entry)
        if is_temporary(path):
            yield _entry(study, entry, kind="orphan", why=_LEFT)
        elif (digest := digest_in(entry.name)) is not None:
            reasons = study.reasons.get(digest, [("orphan", "no record and no resume point refers to it")])
            kind = min((kind for kind, _ in reasons), key=_KINDS.index)
            yield _entry(study, entry, kind=kind, why="; ".join(dict.fromkeys(why for _, why in reasons)))
        elif entry.name != LOCK:
            yield _entry(study, entry, kind="records", why=_FOREIGN)


def _items_of_features(study: _Study) -> Iterator[StoredItem]:
    for entry in entries(study.root / FEATURES):
        if is_temporary(Path(entry)):
            yield _entry(study, entry, kind="orphan", why=_LEFT)
        elif digest_in(entry.name) is not None:
            yield _entry(study, entry, kind="features", why=f"kept until the end{study.title}: can be computed again")
        else:
            yield _entry(study, entry, kind="records", why=_FOREIGN)


def _entry(study: _Study, entry: os.DirEntry[str], *, kind: str, why: str) -> StoredItem:
    return _item(study, Path(entry), kind=kind, why=why, size=size_of(entry))


def _item(study: _Study, path: Path, *, kind: str, why: str, size: int) -> StoredItem:
    relative = os.fsencode(path.relative_to(study.base)).decode(errors="replace")  # others' names may be any bytes
    return StoredItem.model_validate({"path": relative, "kind": kind, "why": why, "bytes": size})
