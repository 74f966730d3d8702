"""Which folders are tunery's, what two of them have not in common, and how one is removed. Reads records, no models."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from tunery.errors import ConfigError, FolderError
from tunery.report.compute.run_and_study import scalars
from tunery.schema.reading.yaml_text import parse_yaml
from tunery.schema.results.curve import LearningCurve
from tunery.schema.results.listing import ConfigDifference, Difference, Listed, ScoreDifference
from tunery.schema.results.run import Metrics, RunResult
from tunery.store.disk.files import entries, recover, remove, remove_empty, remove_tree, size, size_of
from tunery.store.disk.lock import held, holder
from tunery.store.disk.ownership import (
    CELLS,
    CURVE,
    FILES,
    FOLDERS,
    LOCK,
    MARK,
    TRIALS,
    is_own,
    is_temporary,
    require_run,
)
from tunery.store.disk.run_lock import read_comparison, read_study
from tunery.store.folder import RunFolder
from tunery.store.inventory import run_folders
from tunery.store.records import read_record

_DEEPEST: Final = 6
"""Folders below the one that is asked for."""
_SPLITS: Final = ("validation", "oof", "test")
_NOT_COMPARED: Final = ("name", "data.train", "data.validation", "data.test")
"""Keys that say what the work is called and where its rows lie; whether the rows are the same is told apart."""


def list_runs(root: str | Path = "runs") -> tuple[Listed, ...]:
    """The runs, studies, comparisons and learning curves in a folder and below, the newest first. Trials and cells are
    parts of theirs.

    Raises:
        FolderError: there is no such folder.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise FolderError(f"there is no folder {str(folder)!r} to list; name one, as in `tunery ls DIR`")
    found = [(path.stat().st_mtime, listed(path)) for path in _own_folders(folder, _DEEPEST)]
    return tuple(one for _, one in sorted(found, key=lambda entry: (-entry[0], entry[1].path)))


def _own_folders(folder: Path, deeper: int) -> Iterator[Path]:
    if is_own(folder):
        yield folder
    elif deeper:
        for entry in entries(folder):
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _own_folders(Path(entry.path), deeper - 1)


def listed(path: Path) -> Listed:
    """What the records of one folder say; of a record that cannot be read, that the work failed."""
    shared = {"path": str(path), "bytes": size(path)}
    is_held = any(holder(folder) is not None for folder in run_folders(path))
    try:
        known = _finished(path)
    except FolderError:
        return Listed(kind="run", name=path.name, status="failed", **shared)
    if known is not None:
        return Listed(**{**known, "status": "running" if is_held else known["status"]}, **shared)
    config = _config(path)
    trials, cells = path / TRIALS, path / CELLS
    kind = "study" if trials.is_dir() or (path / "study.db").exists() else "comparison" if cells.is_dir() else "run"
    parts = [*trials.glob("*/result.json"), *cells.glob("*/*/result.json")]
    return Listed(
        kind=kind,
        name=str(config.get("name") or path.name),
        status="running" if is_held else "unfinished",
        method=_text(config, "peft", "method"),
        model=_text(config, "model", "name"),
        runs=len(parts) if kind != "run" else 0,
        **shared,
    )


def _finished(path: Path) -> dict[str, Any] | None:
    """What the record that is written last says; None: there is none."""
    if (study := read_study(path)) is not None:
        best = study.best
        return {
            "kind": "study",
            "name": study.name,
            "status": "finished" if best else "failed",
            "objective": study.objective,
            "direction": study.direction,
            "value": best and best.value,
            "test": best and best.test.get(study.objective),
            "method": best and _text(best.config, "peft", "method"),
            "model": best and _text(best.config, "model", "name"),
            "runs": study.counts["total"],
            "seconds": study.seconds,
            "finished_at": study.finished_at,
        }
    if (comparison := read_comparison(path)) is not None:
        cell = comparison.best
        result = cell and cell.result
        return {
            "kind": "comparison",
            "name": comparison.name,
            "status": "finished" if cell else "failed",
            "objective": comparison.objective,
            "direction": comparison.direction,
            "value": result and result.objective.value,
            "test": result and (result.metrics.test or {}).get(comparison.objective),
            "method": cell and cell.method,
            "model": result and _text(result.config, "model", "name"),
            "runs": len(comparison.cells),
            "seconds": comparison.seconds,
            "finished_at": comparison.finished_at,
        }
    if (curve := read_record(path / CURVE, LearningCurve)) is not None:
        return {
            "kind": "learning curve",
            "name": str(_config(path).get("name") or path.name),
            "status": "finished",
            "objective": curve.objective,
            "direction": curve.direction,
            "value": curve.points[-1].score,
            "method": curve.method,
            "runs": len(run_folders(path)),
        }
    result = RunFolder(path).result()
    return None if result is None else _of_run(result)


def _of_run(result: RunResult) -> dict[str, Any]:
    return {
        "kind": "run",
        "name": str(result.config.get("name", "run")),
        "status": "finished" if result.status == "completed" else "failed",
        "objective": result.objective.name,
        "direction": result.objective.direction,
        "value": result.objective.value,
        "test": (result.metrics.test or {}).get(result.objective.name),
        "method": _text(result.config, "peft", "method"),
        "model": _text(result.config, "model", "name"),
        "seconds": result.seconds.total,
        "finished_at": result.finished_at,
    }


def _config(path: Path) -> Mapping[str, Any]:
    with suppress(OSError, ConfigError, ValueError):
        config = parse_yaml((path / "config.yaml").read_text(encoding="utf-8"), source=str(path))
        return config if isinstance(config, dict) else {}
    return {}


def _text(config: Mapping[str, Any], section: str, key: str) -> str | None:
    value = config.get(section)
    found = value.get(key) if isinstance(value, Mapping) else None
    return None if found is None else str(found)


# Differences


class _Chosen(NamedTuple):
    """The run of a folder that is compared: itself, the winner of a study, or the best cell."""

    config: Mapping[str, Any]
    metrics: Metrics
    data: Mapping[str, str]
    """Digest of the rows of each split."""


def difference(left: str | Path, right: str | Path) -> Difference:
    """What the configs of two finished runs, studies (their winners) or comparisons (their best cells) have not in
    common, and their scores side by side.

    Raises:
        FolderError: one is no finished folder of tunery's.
    """
    paths = [Path(left), Path(right)]
    for path in paths:
        require_run(path)
    chosen = [_chosen(path) for path in paths]
    one, other = (_flat(each.config) for each in chosen)
    keys = [key for key in dict.fromkeys([*one, *other]) if key not in _NOT_COMPARED and one.get(key) != other.get(key)]
    sides = [listed(path) for path in paths]
    shared = chosen[0].data.keys() & chosen[1].data.keys()
    return Difference(
        left=sides[0],
        right=sides[1],
        config=tuple(ConfigDifference(path=key, left=one.get(key), right=other.get(key)) for key in keys),
        scores=tuple(_scores(chosen, first=sides[0].objective)),
        same_rows={
            split: chosen[0].data[split] == chosen[1].data[split]
            for split in ("train", "validation", "test")
            if split in shared
        },
    )


def _chosen(path: Path) -> _Chosen:
    result, best = RunFolder(path).result(), None
    if (study := read_study(path)) is not None and study.best is not None:
        best = study.best
        result = RunFolder(path / TRIALS / str(best.number)).result()
    elif (comparison := read_comparison(path)) is not None and comparison.best is not None:
        result = comparison.best.result
    if result is None:
        raise FolderError(
            f"finished runs, studies or comparisons are compared, but {str(path)!r} is none; the command that began it "
            "goes on with it"
        )
    metrics = result.metrics if best is None else result.metrics.model_copy(update={"test": best.test or None})
    rows = {} if result.data is None else {name: split.digest for name, split in result.data.splits.items()}
    return _Chosen(result.config if best is None else best.config, metrics, rows)


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Keys with their whole path; lists are values."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _scores(chosen: Sequence[_Chosen], *, first: str | None) -> Iterator[ScoreDifference]:
    for split in _SPLITS:
        one, other = (scalars(getattr(each.metrics, split) or {}) for each in chosen)
        names = [name for name in one if name in other]
        for name in sorted(names, key=lambda name: name != first):
            yield ScoreDifference(split=split, metric=name, left=one[name], right=other[name])


# Removing


class Removed(NamedTuple):
    """What was removed of a folder, or would be."""

    bytes: int
    others: tuple[str, ...]
    """Names that are not tunery's, which stay, and the folder with them."""


def remove_run(path: str | Path, *, delete: bool) -> Removed:
    """Remove what tunery made in the folder of a run, study or comparison, and the folder, if nothing else is there.

    Args:
        delete: False: only say what would be removed.

    Raises:
        FolderError: it is no such folder, or a process works on it.
    """
    folder = Path(path).resolve()
    require_run(folder)
    for run in run_folders(folder):
        if (process := holder(run)) is not None:
            raise FolderError(f"{str(run)!r} is in use by {process}; remove it when that has ended")
    if delete:
        with held(folder):
            recover(folder)
            found = _apart(folder)
            total = found.bytes
            # The mark goes last: what an interrupted removal leaves can be removed by the same command.
            for entry in sorted(found.own, key=lambda entry: entry.name == MARK):
                if entry.is_dir(follow_symlinks=False):
                    remove_tree(Path(entry.path))
                elif entry.name != LOCK:
                    remove(Path(entry.path))
        remove(folder / LOCK)
        remove_empty(folder)
    else:
        found = _apart(folder)
        total = found.bytes
    return Removed(total, tuple(entry.name for entry in found.others))


class _Apart(NamedTuple):
    """What is in a folder of tunery's."""

    own: tuple[os.DirEntry[str], ...]
    others: tuple[os.DirEntry[str], ...]

    @property
    def bytes(self) -> int:
        """Of its own, but for the lock, which is longer while it is held."""
        return sum(size_of(entry) for entry in self.own if entry.name != LOCK)


def _apart(folder: Path) -> _Apart:
    names = {*FILES, *FOLDERS}
    inside = [(entry, entry.name in names or is_temporary(Path(entry.name))) for entry in entries(folder)]
    return _Apart(tuple(e for e, is_own in inside if is_own), tuple(e for e, is_own in inside if not is_own))
