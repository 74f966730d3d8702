"""A folder belongs to one config, one kind of work and one process at a time. Imports nothing heavy."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunery.errors import FolderError
from tunery.schema.results import ComparisonResult, StudyResult
from tunery.schema.yaml_text import dump_yaml, read_yaml
from tunery.store.files import recover, require_writable, write_text
from tunery.store.lock import held
from tunery.store.ownership import MARK, MARK_TEXT, require_own
from tunery.store.records import read_record

RECORDS = {"result.json": "run", "study.json": "study", "comparison.json": "comparison"}
"""What is written last -> what it is the record of."""

_MAY_CHANGE = (
    "name",
    "checkpoint",
    "train.micro_batch_tokens",
    *(f"search.{key}" for key in ("n_trials", "timeout", "n_jobs", "stall_timeout", "rescore", "ensemble")),
)
"""Keys that a later call on the same folder may set anew: they name the work, house it, end it or say what comes after
it, and change no trial."""


@contextmanager
def claimed(path: Path, document: Mapping[str, Any], *, record: str) -> Iterator[None]:
    """Hold a folder for one config and one process, which will write `record` there.

    Raises:
        FolderError: when the folder is not tunery's or cannot be written, another process holds it, or it holds another
            config.
    """
    own(path)
    with held(path):
        recover(path)
        refuse_other(path, document, record=record)
        _write_config(path / "config.yaml", dump_yaml(_plain(document)))
        yield


def own(path: Path) -> None:
    """Make a folder tunery's: from now on it may be written to.

    Raises:
        FolderError: when it is somebody else's, or cannot be written.
    """
    require_own(path)
    require_writable(path)
    if not (path / MARK).exists():
        write_text(path / MARK, MARK_TEXT)


def _write_config(path: Path, text: str) -> None:
    """A config that is there as it should be is left alone: resuming must need no room for it."""
    if not path.exists() or path.read_bytes() != text.encode():
        write_text(path, text)


def refuse_other(folder: Path, document: Mapping[str, Any], *, record: str) -> None:
    """Look, without writing, whether `folder` holds something else than what is to have the `record` there.

    Raises:
        FolderError: when it does, or is not tunery's; of another config, the message names the keys that differ.
    """
    require_own(folder)
    for name, what in RECORDS.items():
        if name != record and (folder / name).exists():
            needs = f"a {RECORDS[record]} needs a folder of its own"
            raise FolderError(f"{needs}, but {str(folder)!r} holds a {what}; choose another --out")
    path = folder / "config.yaml"
    if path.exists() and (changed := _changes(read_yaml(path), _plain(document))):
        message = f"{str(folder)!r} holds a run with another config ({'; '.join(changed[:5])}); "
        raise FolderError(message + "choose another --out, or give it the same config")


def _changes(before: Any, after: Any, path: str = "") -> list[str]:
    if path in _MAY_CHANGE or before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        inner = [_changes(before.get(k), after.get(k), f"{path}.{k}" if path else str(k)) for k in keys]
        return [change for changes in inner for change in changes]
    return [f"{path}: {before!r} there, {after!r} now"]


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as YAML will give it back."""
    plain: dict[str, Any] = json.loads(json.dumps(document))
    return plain


def read_study(path: Path) -> StudyResult | None:
    """The `study.json` of a study folder, if there is one."""
    return read_record(path / "study.json", StudyResult)


def read_comparison(path: Path) -> ComparisonResult | None:
    """The `comparison.json` of a comparison's folder, if there is one."""
    return read_record(path / "comparison.json", ComparisonResult)
