"""Removing unreferenced files from a folder in which no process works."""

from collections.abc import Iterable
from contextlib import ExitStack, nullcontext
from pathlib import Path

from tunery.errors import FolderError
from tunery.schema.results.storage import StoredItem
from tunery.store.disk.files import recover, remove_empty, remove_tree
from tunery.store.disk.lock import alone, held, holder
from tunery.store.disk.ownership import FEATURES, OBJECTS, require_run
from tunery.store.events import record_event
from tunery.store.inventory import run_folders, storage_of, study_roots


def clean_run(path: Path, *, delete: bool) -> tuple[StoredItem, ...]:
    """Orphans and features of a run, study or comparison, largest first; with `delete` they are removed.

    Raises:
        FolderError: when this is no such folder, or a process works on it: what that writes looks like an orphan until
            something refers to it.
    """
    require_run(path)
    for folder in run_folders(path):
        if (process := holder(folder)) is not None:
            raise FolderError(f"{str(folder)!r} is in use by {process}; clean it when that has ended")
    with held(path) if delete else nullcontext():
        return clean(path, delete=delete)


def clean(root: Path, *, delete: bool) -> tuple[StoredItem, ...]:
    """The same for a folder that is known to be tunery's; with `delete`, this process must hold it."""
    root = root.resolve()
    with ExitStack() as turns:
        for objects in [study / OBJECTS for study in study_roots(root)] if delete else ():
            if objects.is_dir():
                turns.enter_context(alone(objects, say=lambda text: None))
        unneeded = tuple(item for item in storage_of(root).items if item.kind in ("orphan", "features"))
        if delete:
            _remove(unneeded, root)
    return unneeded


def _remove(unneeded: Iterable[StoredItem], root: Path) -> None:
    for study in study_roots(root):
        recover(study)
    for item in unneeded:
        path = root / item.path
        if path.is_dir():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)  # `recover` may have been here before
        record_event(root, "removed", why=item.why, path=path, size=item.bytes)
    remove_empty(root / FEATURES)
