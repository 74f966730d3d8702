"""One run on disk: its config, records, weights and resume points."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, final

from pydantic import ConfigDict

from tunery.errors import FolderError
from tunery.schema.results import CheckpointRecord, ComparisonResult, Progress, Record, RunResult, StudyResult
from tunery.schema.yaml_text import dump_yaml, parse_yaml
from tunery.store.files import recover, remove, remove_tree, require_writable, write_text
from tunery.store.lock import held
from tunery.store.objects import Objects
from tunery.store.resume import ResumePoints

R = TypeVar("R", RunResult, Progress, StudyResult, ComparisonResult)

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


class _Written(Record):
    """What a look over thousands of runs reads of each."""

    model_config = ConfigDict(extra="ignore")

    written_bytes: int


@final
class RunFolder:
    """A run's or trial's folder."""

    def __init__(self, path: Path, *, objects: Objects | None = None) -> None:
        """Args:
        path: the folder; it need not exist.
        objects: where the weights lie, if not in the folder itself: trials share those of their study.
        """
        self.path = path
        self.objects = objects or Objects(path / "objects")
        self.resume = ResumePoints(path / "resume", self.objects)
        self.metrics = path / "metrics.jsonl"
        self.staging = path / "staging"
        self._kept = path / "checkpoints.json"

    def result(self) -> RunResult | None:
        """The run's result, if it is finished."""
        return _record(self.path / "result.json", RunResult)

    def is_finished(self) -> bool:
        """Whether the run has a result."""
        return (self.path / "result.json").exists()

    def written_bytes(self) -> int:
        """Bytes that keeping every checkpoint of the run, uncompressed, would have taken until now."""
        for name in ("result.json", "progress.json"):
            with suppress(FileNotFoundError):
                return _Written.model_validate_json((self.path / name).read_bytes()).written_bytes
        return 0

    def progress(self) -> Progress:
        """What is known of the run so far."""
        return _record(self.path / "progress.json", Progress) or Progress()

    def write_progress(self, progress: Progress) -> None:
        """Record what is known of the run so far."""
        write_text(self.path / "progress.json", progress.model_dump_json(indent=1))

    def kept(self) -> tuple[CheckpointRecord, ...]:
        """The epochs whose weights are kept: the best, then its equals."""
        try:
            entries = json.loads(self._kept.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return ()
        return tuple(CheckpointRecord(**entry) for entry in entries)

    def best(self) -> CheckpointRecord | None:
        """The best epoch so far, if its weights are kept."""
        return next((record for record in self.kept() if record.kind == "best"), None)

    def write_kept(self, records: Sequence[CheckpointRecord]) -> None:
        """Say which epochs' weights are kept; those of others are free to go. Who keeps none has no such file."""
        if tuple(records) == self.kept():
            return
        if not records:
            remove(self._kept)
            return
        entries = [record.model_dump(mode="json") for record in records]
        write_text(self._kept, json.dumps(entries, indent=1))

    def write_result(self, result: RunResult) -> None:
        """Write `result.json`, the mark of a finished run."""
        write_text(self.path / "result.json", result.model_dump_json(indent=1))

    def is_closed(self) -> bool:
        """Whether nothing is left of the work on a finished run."""
        return not (self.path / "progress.json").exists()

    def close(self) -> None:
        """Remove what only an unfinished run needs; `progress.json`, which says that something is left, goes last."""
        self.resume.clear()
        remove_tree(self.staging)
        (self.path / "progress.json").unlink(missing_ok=True)


@contextmanager
def claimed(path: Path, document: Mapping[str, Any], *, record: str) -> Iterator[None]:
    """Hold a folder for one config and one process, which will write `record` there.

    Raises:
        FolderError: when the folder cannot be written, another process holds it, or it holds another config.
    """
    require_writable(path)
    with held(path):
        recover(path)
        refuse_other(path, document, record=record)
        _write_config(path / "config.yaml", dump_yaml(_plain(document)))
        yield


def _write_config(path: Path, text: str) -> None:
    """A config that is there as it should be is left alone: resuming must need no room for it."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def refuse_other(folder: Path, document: Mapping[str, Any], *, record: str) -> None:
    """Look, without writing, whether `folder` holds something else than what is to have the `record` there.

    Raises:
        FolderError: when it does; of another config, the message names the keys that differ.
    """
    for name, what in RECORDS.items():
        if name != record and (folder / name).exists():
            needs = f"a {RECORDS[record]} needs a folder of its own"
            raise FolderError(f"{needs}, but {str(folder)!r} holds a {what}; choose another --out")
    path = folder / "config.yaml"
    if path.exists() and (
        changed := _changes(parse_yaml(path.read_text(encoding="utf-8"), source=str(path)), _plain(document))
    ):
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
    return _record(path / "study.json", StudyResult)


def read_comparison(path: Path) -> ComparisonResult | None:
    """The `comparison.json` of a comparison's folder, if there is one."""
    return _record(path / "comparison.json", ComparisonResult)


def _record(path: Path, kind: type[R]) -> R | None:
    return kind.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else None
