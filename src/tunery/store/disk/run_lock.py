"""A folder belongs to one config, one data set, one kind of work and one process at a time. Imports nothing heavy."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tunery.errors import DataError, FolderError
from tunery.schema.reading.yaml_text import dump_yaml, read_yaml
from tunery.schema.results.comparison import ComparisonResult
from tunery.schema.results.run import DataRecord
from tunery.schema.results.study import StudyResult
from tunery.store.disk.files import make_folder, recover, require_writable, write_text
from tunery.store.disk.lock import Holder, held
from tunery.store.disk.ownership import CURVE, DATA, MARK, MARK_TEXT, require_own
from tunery.store.records import read_record

RECORDS = {"result.json": "run", "study.json": "study", "comparison.json": "comparison", CURVE: "learning curve"}
"""What is written last -> what it is the record of."""

SPLITS: Final = ("train", "validation", "test")

_MAY_CHANGE: Final = (
    "name",
    "checkpoint",
    "tracking",
    *(f"train.{key}" for key in ("micro_batch_tokens", "eval_batch_size", "log_every", "workers")),
    *(f"search.{key}" for key in ("n_trials", "timeout", "n_jobs", "devices", "stall_timeout", "rescore", "ensemble")),
)
"""Keys that a later call on the same folder may set anew: they say what the work is called, what it keeps, how it is
logged, when it ends and what follows, and change no trial."""

_PLACES: Final = tuple(f"data.{key}" for key in ("dataset", "revision", "train", "validation", "test", "annotations"))
"""Keys that may change as well where the rows are known to be the same: files may be moved."""


@contextmanager
def run_lock(
    path: Path,
    document: Mapping[str, Any],
    *,
    record: str,
    data: DataRecord | None = None,
    root: Path | None = None,
    wait: Callable[[Holder], None] | None = None,
) -> Iterator[None]:
    """Hold a folder for one config, one data set and one process, which will write `record` there.

    Args:
        data: the rows that the work would see, which the folder remembers; None where nothing is to be remembered.
        root: the study's folder, where that remembers them in place of `path`.
        wait: as in `held`.

    Raises:
        FolderError: when the folder is not tunery's or cannot be written, another process holds it, or it holds another
            config.
        DataError: when what it holds was begun with other rows.
    """
    own(path)
    with held(path, wait=wait):
        recover(path)
        refuse_other(path, document, record=record, root=root)
        if data is not None:
            refuse_other_data(root or path, data)
        config, text = path / "config.yaml", dump_yaml(_plain(document))
        if not config.exists() or config.read_bytes() != text.encode():  # resuming must need no room for it
            write_text(config, text)
        if data is not None:
            keep_data(root or path, data)
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


def keep_data(path: Path, data: DataRecord) -> None:
    """Have a folder remember the rows that its work began with.

    Raises:
        DataError: when it remembers others.
    """
    refuse_other_data(path, data)
    if not (path / DATA).exists():
        make_folder(path)
        write_text(path / DATA, data.model_dump_json(indent=1))


def refuse_other_data(path: Path, data: DataRecord) -> None:
    """Look, without writing, whether the work in a folder began with other rows than `data`.

    Raises:
        DataError: when it did; the message names the splits that differ.
    """
    recorded = read_record(path / DATA, DataRecord)
    if recorded is not None and (changed := data_changes(recorded, data)):
        raise DataError(f"{str(path)!r} was begun with other data: {changed}; {OTHER_DATA}")


OTHER_DATA: Final = "put back what was there, or choose another --out for what is there now"


def data_changes(before: DataRecord, now: DataRecord, *, names: Iterable[str] = SPLITS) -> str:
    """In which of the named splits the rows differ, in words; empty where they are the same, wherever they are."""
    changes = []
    for name in names:
        old, new = before.splits[name], now.splits[name]
        if old.digest == new.digest:
            continue
        if old.rows == new.rows:
            changes.append(f"{name} has {new.rows:,} rows as before, but not the same ({new.source})")
        else:
            changes.append(f"{name} had {old.rows:,} rows and has {new.rows:,} ({new.source})")
    return "; ".join(changes)


def refuse_other(folder: Path, document: Mapping[str, Any], *, record: str, root: Path | None = None) -> None:
    """Look, without writing, whether `folder` holds something else than what is to have the `record` there.

    Where the rows that the work began with are known, their place may be another one: `refuse_other_data` compares
    the rows themselves.

    Args:
        root: the study's folder, which remembers its rows for all trials; None: `folder` itself does.

    Raises:
        FolderError: when it does, or is not tunery's; of another config, the message names the keys that differ.
    """
    require_own(folder)
    for name, what in RECORDS.items():
        if name != record and (folder / name).exists():
            needs = f"a {RECORDS[record]} needs a folder of its own"
            raise FolderError(f"{needs}, but {str(folder)!r} holds a {what}; choose another --out")
    besides = (*_MAY_CHANGE, *_PLACES) if ((root or folder) / DATA).exists() else _MAY_CHANGE
    if changed := _changes_in(folder, document, besides=besides):
        message = f"{str(folder)!r} holds a {RECORDS[record]} with another config ({'; '.join(changed[:5])})"
        further = f" (with --from {folder} a new run begins with its weights)"
        may_go_on = record == "result.json" and (folder / record).exists()
        remedy = f"choose another --out{further if may_go_on else ''}, or give it the same config"
        raise FolderError(f"{message}; {remedy}")


def is_moved(folder: Path, document: Mapping[str, Any]) -> bool:
    """Whether a config that `refuse_other` accepts reads its data from another place than the one in `folder`."""
    return bool(_changes_in(folder, document, besides=_MAY_CHANGE))


def _changes_in(folder: Path, document: Mapping[str, Any], *, besides: Sequence[str]) -> list[str]:
    path = folder / "config.yaml"
    if not path.exists():
        return []
    return _changes(read_yaml(path), _plain(document), besides=besides)


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs, in words, besides the places of the data and the keys that may be set anew."""
    return _changes(_plain(before), _plain(after), besides=(*_MAY_CHANGE, *_PLACES))


def _changes(before: Any, after: Any, *, besides: Sequence[str], path: str = "") -> list[str]:
    """Every value that differs, except at the paths `besides`."""
    if path in besides or before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        inner = [
            _changes(before.get(key), after.get(key), besides=besides, path=f"{path}.{key}" if path else str(key))
            for key in keys
        ]
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
