"""What a folder holds, and why: looked up in the folder alone, without its config.

Needed is what `checkpoints.json` and the resume points of unfinished runs refer to. Of the rest, what only tunery can
have written (objects, resume points, staging folders, temporaries) is an orphan; every other file is a record.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tunery.schema.results import Storage, StoredItem
from tunery.store.events import record_event
from tunery.store.files import is_temporary, recover, remove_tree, size
from tunery.store.folder import RunFolder
from tunery.store.objects import SUFFIX, Objects

TRIALS, CELLS = "trials", "cells"

_KINDS: Final = ("best", "co_best", "resume", "orphan")
"""What an object is called that is there for several reasons: the first of these."""
_EPOCH: Final = {"best": "best epoch", "co_best": "equal of the best epoch"}
_FOREIGN: Final = "not written by tunery"
_LEFT: Final = "left behind by a process that was stopped"


@dataclass(frozen=True)
class _Study:
    """A study, a run of its own, or a cell of a comparison: what shares one `objects/`."""

    root: Path
    base: Path
    """Paths of items are told from here."""
    title: str
    reasons: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """Name of an object -> kinds and words of all who need it."""


def storage_of(root: Path) -> Storage:
    """The inventory of a run, study or comparison."""
    items = sorted(_items(root), key=lambda item: (-item.bytes, item.path))
    records = sum(item.bytes for item in items if item.kind == "records")
    return Storage(
        items=tuple(items),
        bytes=sum(item.bytes for item in items) - records,
        record_bytes=records,
        keep_all_bytes=sum(_written(run) for study in _studies(root) for run in runs_of(study.root)),
    )


def clean(root: Path, *, delete: bool) -> tuple[StoredItem, ...]:
    """What nothing needs, largest first; with `delete` it is removed. The folder must be held then."""
    orphans = tuple(item for item in storage_of(root).items if item.kind == "orphan")
    if delete:
        for study in _studies(root):
            recover(study.root)
        for item in orphans:
            _remove(root / item.path)
            record_event(root, "removed", why=item.why, path=root / item.path, size=item.bytes)
    return orphans


def runs_of(root: Path) -> Iterator[RunFolder]:
    """The run of the root, then its trials in the order of their numbers; they share the objects."""
    objects = Objects(root / "objects")
    yield RunFolder(root, objects=objects)
    trials = [path for path in root.glob(f"{TRIALS}/*") if path.name.isdecimal()]
    for path in sorted(trials, key=lambda path: int(path.name)):
        yield RunFolder(path, objects=objects)


def _studies(root: Path) -> Iterator[_Study]:
    yield _Study(root, root, "")
    for cell in sorted(root.glob(f"{CELLS}/*/*")):
        if cell.is_dir():
            yield _Study(cell, root, f" of {cell.parent.name} with seed {cell.name}")


def _items(root: Path) -> Iterator[StoredItem]:
    for study in _studies(root):
        for run in runs_of(study.root):
            yield from _items_of_run(study, run)
        yield from _items_of_objects(study)


def _items_of_run(study: _Study, run: RunFolder) -> Iterator[StoredItem]:
    of = study.title if run.path == study.root else f" of trial {run.path.name}{study.title}"
    for record in run.kept():
        study.reasons[record.digest].append((record.kind, f"{_EPOCH[record.kind]}{of}"))
    yield from _items_of_points(study, run, of=of)
    apart = {study.root / name for name in ("objects", TRIALS, CELLS)} | {run.resume.root}
    records = 0
    for path in sorted(run.path.iterdir()) if run.path.is_dir() else ():
        if path in apart:
            continue
        elif item := _weights(study, path, of=of):
            yield item
        else:
            records += _bytes(path)
    yield _item(study, run.path, kind="records", why=f"records{of}", count=records)


def _items_of_points(study: _Study, run: RunFolder, *, of: str) -> Iterator[StoredItem]:
    words = {}
    if run.result() is None:
        for point in run.resume.points():
            words[f"step-{point.step}.json"] = f"resume point{of} at step {point.step}"
            for digest in point.needs():
                study.reasons[digest].append(("resume", words[f"step-{point.step}.json"]))
    for path in sorted(run.resume.root.glob("*")):
        if path.name in words:
            yield _item(study, path, kind="resume", why=words[path.name])
        else:
            yield _idle(study, path, of=of, finished=run.result() is not None)


def _idle(study: _Study, path: Path, *, of: str, finished: bool) -> StoredItem:
    """A file among the resume points that is none to go on from."""
    if is_temporary(path):
        return _item(study, path, kind="orphan", why=_LEFT)
    if not path.match("step-*.json"):
        return _item(study, path, kind="records", why=_FOREIGN)
    why = "not needed: the run is finished" if finished else "unreadable"
    return _item(study, path, kind="orphan", why=f"resume point{of}, {why}")


def _weights(study: _Study, path: Path, *, of: str) -> StoredItem | None:
    """The item of one entry of a run's folder, unless it is a record."""
    if path.name == "best":
        return _item(study, path, kind="export", why=f"the best model{of}, as other tools load it")
    if path.name == "staging" and any(path.iterdir()):
        return _item(study, path, kind="orphan", why=f"staging folder of an unfinished save{of}")
    if is_temporary(path):
        return _item(study, path, kind="orphan", why=_LEFT)
    if path.name.startswith(".") and path.suffix == ".old":
        lost = not path.with_name(path.stem[1:]).exists()
        why = "set aside, and put back by the next command" if lost else _LEFT
        return _item(study, path, kind="export" if lost else "orphan", why=why)
    return None


def _items_of_objects(study: _Study) -> Iterator[StoredItem]:
    for path in sorted((study.root / "objects").glob("*")):
        if is_temporary(path):
            yield _item(study, path, kind="orphan", why=_LEFT)
        elif path.suffix == SUFFIX:
            kind, why = _why(study.reasons.get(path.stem, ()))
            yield _item(study, path, kind=kind, why=why)
        else:
            yield _item(study, path, kind="records", why=_FOREIGN)


def _why(reasons: Iterable[tuple[str, str]]) -> tuple[str, str]:
    found = tuple(reasons) or (("orphan", "no record and no resume point names it"),)
    kind = min((kind for kind, _ in found), key=_KINDS.index)
    return kind, "; ".join(dict.fromkeys(words for _, words in found))


def _item(study: _Study, path: Path, *, kind: str, why: str, count: int | None = None) -> StoredItem:
    given = {"path": str(path.relative_to(study.base)), "kind": kind, "why": why}
    return StoredItem.model_validate({**given, "bytes": _bytes(path) if count is None else count})


def _bytes(path: Path) -> int:
    return size(path) if path.is_dir() else path.stat().st_size


def _written(run: RunFolder) -> int:
    result = run.result()
    return result.written_bytes if result else run.progress().written_bytes


def _remove(path: Path) -> None:
    """`recover` may have been here before."""
    if path.is_dir():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)
