"""Removing unreferenced files from a folder that nobody works on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunery.errors import FolderError
from tunery.schema.results.storage import StoredItem
from tunery.store.disk.lock import held, holder
from tunery.store.disk.ownership import require_run
from tunery.store.inventory import clean, run_folders


def clean_run(path: Path, *, delete: bool) -> tuple[StoredItem, ...]:
    """Orphans of a run, study or comparison, largest first; with `delete` they are removed.

    Raises:
        FolderError: when this is no such folder, or a process works on it: what that writes looks like an orphan until
            something refers to it.
    """
    require_run(path)
    with _idle(path, hold=delete):
        return clean(path, delete=delete)


@contextmanager
def _idle(path: Path, *, hold: bool) -> Iterator[None]:
    """Nobody works on the folder or on a part of it; with `hold`, nobody begins to."""
    for place in run_folders(path):
        if (busy := holder(place)) is not None:
            raise FolderError(f"{str(place)!r} is in use by {busy}; clean it when that has ended")
    if not hold:
        yield
        return
    with held(path):
        yield
