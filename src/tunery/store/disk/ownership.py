"""What tunery may write, remove and follow on a disk: the one rule.

1. It works in a folder that is new, empty, or its own, and in no other. A folder is its own when the file `.tunery`,
   which it writes there first, says so. A folder that an earlier version made has no such file; it is known by a
   complete `config.yaml` beside a record of tunery's or its lock.
2. In its own folder it touches the names below and its temporaries, where it makes them, and nothing else. Whatever
   else lies there is somebody else's, and stays as it is.
3. A temporary has a random name that ends in a mark of its own, and is created exclusively.
4. The folder itself may be a link, or lie behind links. Inside of it no link is followed: one that has a name of
   tunery's is refused before anything is written.

Imports nothing heavy, so that a wrong folder is refused at once.
"""

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from tunery.errors import ConfigError, FolderError
from tunery.schema import RunConfig
from tunery.schema.reading.utf8 import has_utf8_path
from tunery.schema.reading.yaml_text import parse_yaml
from tunery.schema.results.comparison import ComparisonResult
from tunery.schema.results.curve import LearningCurve
from tunery.schema.results.record import Record
from tunery.schema.results.run import RunResult
from tunery.schema.results.study import StudyResult
from tunery.store.records import read_record

MARK: Final = ".tunery"
_SAYS: Final = "This folder was made by tunery"
MARK_TEXT: Final = f"{_SAYS}. Its docs/storage.md says what it writes and removes here; other files stay as they are.\n"
LOCK: Final = ".lock"
"""In a folder that one process at a time may write to."""
DATA: Final = "data.json"
"""Which rows the work in a folder began with."""
BASELINES: Final = "baselines.json"
"""What simple models reach on the rows of a run."""
DOUBTS: Final = "doubts.json"
"""The training rows that are worth a look, with their texts unless those are left out."""
WORST_ROWS: Final = "worst_rows.json"
"""The rows that a model answers worst, with their texts unless those are left out."""
CURVE: Final = "curve.json"
"""What more rows would give, as models of parts of them say."""
_RECORDS: Final[Mapping[str, type[Record]]] = {
    "result.json": RunResult,
    "study.json": StudyResult,
    "comparison.json": ComparisonResult,
    CURVE: LearningCurve,
}
ANSWERS: Final = "answers.npz"
"""What the model of a fold answers about the rows that were held out from it."""
OUT_OF_FOLD: Final = "oof.csv"
"""What was predicted of each training row by models that had not seen it."""
OBJECTS, RESUME, BEST, TRIALS, RESCORED, CELLS = "objects", "resume", "best", "trials", "rescored", "cells"
PRETRAIN: Final = "pretrain"
"""Runs of continued pretraining, by their digests, which all runs of a folder share."""
FOLDS: Final = "folds"
"""Runs of cross-validation, by the numbers of their folds."""
FINAL: Final = "final"
"""Runs of the final models of a study whose trials are cross-validated, by the numbers of their trials."""
FEATURES: Final = "features"
"""What a frozen model gives of rows, while a run, study or comparison is unfinished."""
FILES: Final = (
    MARK,
    LOCK,
    "config.yaml",
    DATA,
    "progress.json",
    "checkpoints.json",
    "metrics.jsonl",
    "events.jsonl",
    BASELINES,
    WORST_ROWS,
    DOUBTS,
    ANSWERS,
    OUT_OF_FOLD,
    "winner.json",
    "ensembles.json",
    "leaderboard.csv",
    "comparison.csv",
    "comparison.png",
    "report.html",
    *(f"study.db{suffix}" for suffix in ("", "-wal", "-shm", "-journal")),
    *_RECORDS,
)
FOLDERS: Final = (OBJECTS, FEATURES, RESUME, BEST, "tensorboard", PRETRAIN, FOLDS, FINAL, TRIALS, RESCORED, CELLS)

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_STAGE: Final = re.compile(r"[0-9a-f]{12}")
_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{16}\.tunery-tmp", re.DOTALL)
_ASIDE: Final = re.compile(r"\.(.+)\.tunery-old", re.DOTALL)
_KINDS: Final = {"file": stat.S_ISREG, "folder": stat.S_ISDIR}
_MOST_NAMED: Final = 3


def temporary(path: Path) -> Path:
    """A name beside `path` that no other process uses, under which it is written, or removed."""
    return path.with_name(f".{path.name[:32]}.{token_hex(8)}.tunery-tmp")


def is_temporary(path: Path) -> bool:
    """Whether this is a temporary of some process."""
    return _TEMPORARY.fullmatch(path.name) is not None


def aside(path: Path) -> Path:
    """The name that a folder has while another comes in its place."""
    return path.with_name(f".{path.name}.tunery-old")


def set_aside_from(path: Path) -> Path | None:
    """Where a folder that was set aside belongs; None where this is no such folder."""
    match = _ASIDE.fullmatch(path.name)
    return path.with_name(match[1]) if match else None


def is_number(name: str) -> bool:
    """Whether this is how the folder of a trial, of a fold, or of a cell among those of its method, is called."""
    return _NUMBER.fullmatch(name) is not None


def is_stage(name: str) -> bool:
    """Whether this is how the folder of a stage of continued pretraining is called."""
    return _STAGE.fullmatch(name) is not None


def require_own(folder: Path) -> None:
    """See that tunery may work in `folder`: it is new, empty or its own, and no link is where it would write.

    Only names and the mark are looked at; nothing is written.

    Raises:
        FolderError: when it may not.
    """
    if not has_utf8_path(folder):
        rule = "the path of a run folder must be UTF-8"
        raise FolderError(f"{rule}, but {str(folder)!r} is not; choose another --out")
    if not folder.is_dir():
        if os.path.lexists(folder):
            what = "a link to nothing" if folder.is_symlink() else "no folder"
            raise FolderError(f"a run needs a folder, but {str(folder)!r} is {what}; choose another --out")
    elif is_own(folder):
        refuse_links(folder)
    elif other := sorted(entry.name for entry in os.scandir(folder) if not is_temporary(Path(entry.name))):
        names = ", ".join(ascii(name) for name in other[:_MOST_NAMED]) + (", …" if len(other) > _MOST_NAMED else "")
        needs = "a run needs a folder that is new, empty or already tunery's"
        raise FolderError(f"{needs}, but {str(folder)!r} holds other files ({names}); choose another --out")


def require_run(folder: Path) -> None:
    """See that `folder` is tunery's, and that no link is where it would write.

    Raises:
        FolderError: when it is not.
    """
    if not folder.is_dir():
        raise FolderError(f"a run folder is needed, but there is no folder {str(folder)!r}")
    if not is_own(folder):
        needs = "the folder of a run, a study or a comparison is needed"
        raise FolderError(f"{needs}, but tunery did not make {str(folder)!r}: it has no file {MARK!r}")
    refuse_links(folder)


def is_own(folder: Path) -> bool:
    """Whether tunery made this folder."""
    return _text(folder / MARK).startswith(_SAYS) or _is_of_an_earlier_version(folder)


def _is_of_an_earlier_version(folder: Path) -> bool:
    """Whether a complete config lies beside a record, or beside the lock that an unfinished run leaves."""
    if not _is_lock(_text(folder / LOCK, nothing="-")) and not any(_is_record(folder / name) for name in _RECORDS):
        return False
    try:
        config = parse_yaml(_text(folder / "config.yaml"), source="")
    except ConfigError:
        return False
    return isinstance(config, dict) and RunConfig.model_fields.keys() <= config.keys()


def _is_lock(text: str) -> bool:
    """Whether a lock file names the process that holds it, or is blank: none does."""
    with suppress(ValueError):
        return not text.strip() or {"pid", "host"} <= set(json.loads(text))
    return False


def _is_record(path: Path) -> bool:
    try:
        return bool(_text(path)) and read_record(path, _RECORDS[path.name]) is not None
    except FolderError:
        return False


def _text(path: Path, *, nothing: str = "") -> str:
    """The text of a regular file; of a link, a pipe or a file that cannot be read, `nothing`."""
    try:
        is_file = stat.S_ISREG(path.lstat().st_mode)
        return path.read_text(encoding="utf-8", errors="replace") if is_file else nothing
    except OSError:
        return nothing


def refuse_links(folder: Path) -> None:
    """See that tunery's names in its own folder are what it makes there: real files and folders.

    Raises:
        FolderError: when a link, another kind of file, or another file system is found there.
    """
    device = folder.stat().st_dev
    for path, kind in _names(folder):
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISLNK(status.st_mode):
            raise FolderError(
                f"inside a run folder no link is followed, but {str(path)!r} is one; put the {kind} itself there. "
                "To keep a run on another disk, choose an --out there, or link the whole run folder"
            )
        if not _KINDS[kind](status.st_mode):
            raise FolderError(f"{str(path)!r} must be a {kind}, which tunery writes, but is something else; move it")
        if kind == "folder" and status.st_dev != device:
            raise FolderError(
                f"a run folder must lie on one file system, but {str(path)!r} is on another; choose an --out there"
            )


def _names(folder: Path) -> Iterator[tuple[Path, str]]:
    """Where tunery writes below a folder, and what it makes there. What a trial or cell holds is looked at when that is
    worked on."""
    for root in (folder, folder / RESCORED):
        yield from ((root / name, "file") for name in FILES)
        yield from ((root / name, "folder") for name in FOLDERS)
        yield from ((path, "folder") for name in (TRIALS, FOLDS, FINAL) for path in _numbered(root / name))
    yield from ((path, "folder") for path in _inside(folder / PRETRAIN) if is_stage(path.name))
    for method in _inside(folder / CELLS):
        if method.name.isascii() and method.name.isidentifier() and (method.is_symlink() or method.is_dir()):
            yield method, "folder"
            yield from ((path, "folder") for path in _numbered(method))


def _numbered(folder: Path) -> Iterator[Path]:
    """Trials, folds, or the cells of one method."""
    return (path for path in _inside(folder) if is_number(path.name))


def _inside(folder: Path) -> list[Path]:
    """What is in a folder, which is no link."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return [] if folder.is_symlink() else list(folder.iterdir())
    return []
