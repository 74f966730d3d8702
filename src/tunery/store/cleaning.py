"""Removing what nothing needs from a folder that nobody works on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tunery.errors import FolderError
from tunery.schema.results import StoredItem
from tunery.store.claim import RECORDS
from tunery.store.files import LOCK
from tunery.store.inventory import CELLS, RESCORED, TRIALS, clean
from tunery.store.lock import held, holder

_WITHIN: Final = (f"{TRIALS}/*", f"{RESCORED}/{TRIALS}/*", f"{CELLS}/*/*")
"""Where other processes may be at work."""


def require_run(path: Path) -> None:
    """See that tunery wrote this folder: files that look like its own may be somebody's elsewhere.

    Raises:
        FolderError: when it did not.
    """
    if not path.is_dir():
        raise FolderError(f"a run folder is needed, but there is no folder {str(path)!r}")
    if not (path / "config.yaml").is_file() or not any((path / name).exists() for name in (LOCK, *RECORDS)):
        needs = "the folder of a run, a study or a comparison is needed"
        raise FolderError(f"{needs}, but {str(path)!r} has no config.yaml beside a record or a lock of tunery's")


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
    for place in (path, *(place for within in _WITHIN for place in path.glob(within))):
        if (busy := holder(place)) is not None:
            raise FolderError(f"{str(place)!r} is in use by {busy}; clean it when that has ended")
    if not hold:
        yield
        return
    with held(path):
        yield
