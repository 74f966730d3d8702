"""An exported folder: what says that it is one, and where one may be written. Imports nothing heavy."""

from pathlib import Path
from typing import Final

from tunery.errors import FolderError
from tunery.store.disk.ownership import BEST

CARD: Final = "tunery.json"
"""What an exported folder says about itself beside the ecosystem's own files."""
MODEL_CARD: Final = "README.md"
"""The same for people and for the Hub."""


def exported_in(path: Path) -> Path:
    """The exported folder that `path` is or holds.

    Raises:
        FolderError: when there is none; the message says why.
    """
    for folder in (path, path / BEST):
        if (folder / CARD).is_file():
            return folder
    if not path.exists():
        raise FolderError(f"there is no folder {str(path)!r}")
    if (path / "result.json").exists():
        why = "holds only the records of a run; of a study or comparison, the best model alone is kept, in its best/"
    elif (path / "config.yaml").exists():
        why = "is unfinished; run the same command again to resume it"
    else:
        why = "holds none"
    raise FolderError(f"a finished model is needed, but {str(path)!r} {why}")


def require_new(out: Path, run: Path) -> None:
    """Look whether `out` may become an export of `run`.

    Raises:
        FolderError: when there is no `run`, or `out` lies within, or holds something.
    """
    if not run.is_dir():
        raise FolderError(f"there is no folder {str(run)!r}")
    if out.resolve().is_relative_to(run.resolve()):
        raise FolderError(f"an export must lie outside of {str(run)!r}, but got {str(out)!r}; choose another folder")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FolderError(f"an export needs a folder that is new or empty, but {str(out)!r} is not; choose another")
