"""A disk that fails: one operation below a folder is refused, or is the last one before the process dies.

It stands between Python and the system: every `os` call that changes the disk, and every write to a file that Python
opened. Files that other languages write are seen when they are synced, renamed or removed.
"""

import builtins
import errno
import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, final

import pytest

from tunery.schema import RunResult
from tunery.schema.reading.yaml_text import parse_yaml
from tunery.tracking.jsonl import read_metrics

ERRNOS = (errno.ENOSPC, errno.EIO, errno.EACCES)
_CALLS = ("link", "truncate", "rename")
_REAL: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in _CALLS}


class _Change(NamedTuple):
    """A name that came, went or became another, and may be undone by a loss of power. Paths within the root."""

    path: str
    target: str | None
    backup: str | None
    """Where the file lies that lost its name."""


@final
class FaultyDisk:
    """Numbers the operations below `root` from 0; the one that it refuses fails, half-done where that can be."""

    def __init__(
        self,
        root: Path,
        *,
        refuse: int | None = None,
        error: int = errno.EIO,
        before: Callable[["FaultyDisk"], None] = lambda disk: None,
    ) -> None:
        self.root = root
        self.log: list[str] = []
        self._refuse = refuse
        self._error = error
        self._before = before
        self._half: tuple[str, bytes] | None = None
        self._synced: dict[str, int] = {}  # files of which some is not synced -> bytes that are
        self._changes: list[_Change] = []
        self._backups = root.with_name(f"{root.name}-backups")

    def crashed(self, copy: Path, *, power: bool) -> None:
        """What would be on disk if the process died in the middle of the next operation.

        Args:
            power: whether every byte and every name that was not synced is lost with it.
        """
        if not self.root.exists():
            return
        shutil.copytree(self.root, copy)
        if self._half is not None:
            name, half = self._half
            with (copy / name).open("ab") as file:
                file.write(half)
        if power:
            for name, synced in self._synced.items():
                with suppress(OSError):
                    _REAL["truncate"](copy / name, min(synced, (copy / name).stat().st_size))
            for change in reversed(self._changes):
                _undo(change, copy)

    def reach(self, call: str, path: str, *, half: bytes = b"", name: str | None = None) -> None:
        """An operation is about to be done; of a write that is refused, half is.

        Args:
            name: what the error names; calls on open files name nothing.
        """
        within = os.path.relpath(path, self.root)
        self.log.append(f"{call} {within}")
        self._half = (within, half) if half else None
        with _plain():
            self._before(self)
            if len(self.log) - 1 != self._refuse:
                return
            if half:
                with open(path, "ab") as file:
                    file.write(half)
        raise OSError(self._error, os.strerror(self._error), name)

    def covers(self, path: str) -> bool:
        """Whether this is a path below the root, or the root."""
        return f"{path}/".startswith(f"{self.root}/")

    def written(self, path: str) -> None:
        """Some of a file is not synced from here on."""
        self._synced.setdefault(os.path.relpath(path, self.root), os.stat(path).st_size)

    def synced(self, path: str) -> None:
        """A file, or the names in a folder, have reached the disk."""
        within = os.path.relpath(path, self.root)
        self._synced.pop(within, None)
        here, waiting = "" if within == "." else within, self._changes
        self._changes = []
        for change in waiting:
            if os.path.dirname(change.target or change.path) != here:
                self._changes.append(change)
            elif change.target is not None:
                self._changes = [_moved(before, change.path, change.target) for before in self._changes]

    def changed(self, path: str, target: str | None = None) -> None:
        """A name is about to come, to go, or to become another."""
        backup = self._keep(target or path)
        names = [os.path.relpath(each, self.root) for each in (path, target) if each is not None]
        self._changes.append(_Change(names[0], names[1] if target else None, backup))
        if target is not None:
            self._synced = {_renamed(name, *names): size for name, size in self._synced.items()}

    def _keep(self, path: str) -> str | None:
        if not os.path.isfile(path):
            return None
        with _plain():
            self._backups.mkdir(exist_ok=True)
        backup = self._backups / str(len(self.log))
        _REAL["link"](path, backup)
        return str(backup)


def _renamed(name: str, source: str, target: str) -> str:
    """A path, after the file or a folder above it has got another name."""
    return target + name.removeprefix(source) if f"{name}/".startswith(f"{source}/") else name


def _moved(change: _Change, source: str, target: str) -> _Change:
    names = [name and _renamed(name, source, target) for name in (change.path, change.target)]
    return _Change(str(names[0]), names[1], change.backup)


def _undo(change: _Change, root: Path) -> None:
    path, target = root / change.path, root / (change.target or change.path)
    with suppress(OSError):
        if change.target is not None:
            _REAL["rename"](target, path)
        elif change.backup is None:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if change.backup is not None:
            shutil.copy(change.backup, target)


@contextmanager
def faulty(disk: FaultyDisk) -> Iterator[FaultyDisk]:
    """All that this process does to the disk goes through `disk`."""
    with pytest.MonkeyPatch.context() as patch:
        for call in ("mkdir", "unlink", "remove", "rmdir"):
            patch.setattr(os, call, _one_name(disk, call, getattr(os, call)))
        for call in ("rename", "replace"):
            patch.setattr(os, call, _two_names(disk, call, getattr(os, call)))
        for call in ("write", "pwrite", "ftruncate", "fsync"):
            patch.setattr(os, call, _open_file(disk, call, getattr(os, call)))
        opened = _opener(disk, io.open)
        patch.setattr(io, "open", opened)
        patch.setattr(builtins, "open", opened)
        yield disk


def what_is_left(folder: Path) -> dict[str, Any]:
    """Every name, every metric, and every byte of weights."""
    result = RunResult.model_validate_json((folder / "result.json").read_text())
    return {
        "names": sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
        "weights": {path.name: sha256(path) for path in folder.rglob("*.safetensors")},
        "metrics": read_metrics(folder / "metrics.jsonl"),
        "result": result.metrics,
        "kept": result.checkpoints,
        "config": parse_yaml((folder / "config.yaml").read_text(), source=""),
    }


def sha256(path: Path) -> str:
    """Digest of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


_ours = False


@contextmanager
def _plain() -> Iterator[None]:
    """What the test itself does to the disk is not counted."""
    global _ours
    before, _ours = _ours, True
    try:
        yield
    finally:
        _ours = before


def _place(path: Any, folder: int | None = None) -> str:
    if isinstance(path, int):
        return os.readlink(f"/proc/self/fd/{path}")
    base = os.getcwd() if folder is None else os.readlink(f"/proc/self/fd/{folder}")
    return os.path.normpath(os.path.join(base, os.fsdecode(path)))


def _one_name(disk: FaultyDisk, call: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def do(path: Any, *args: Any, dir_fd: int | None = None, **given: Any) -> Any:
        place = "" if _ours else _place(path, dir_fd)
        if disk.covers(place) and os.path.exists(place) == (call != "mkdir"):
            disk.reach(call, place, name=place)
            disk.changed(place)
        return real(path, *args, dir_fd=dir_fd, **given)

    return do


def _two_names(disk: FaultyDisk, call: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def do(source: Any, target: Any, **given: Any) -> Any:
        place = "" if _ours else _place(target)
        if disk.covers(place):
            disk.reach(call, place, name=place)
            disk.changed(_place(source), place)
        return real(source, target, **given)

    return do


def _open_file(disk: FaultyDisk, call: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def do(descriptor: int, *args: Any) -> Any:
        place = "" if _ours else _place(descriptor)
        if not disk.covers(place):
            return real(descriptor, *args)
        disk.reach(call, place)
        if call == "fsync":
            return disk.synced(place)  # the machine stays on: there is nothing to wait for
        return real(descriptor, *args)

    return do


def _opener(disk: FaultyDisk, real: Callable[..., Any]) -> Callable[..., Any]:
    def do(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **given: Any) -> Any:
        if _ours or isinstance(file, int) or not set(mode) & set("wax+") or not disk.covers(_place(file)):
            return real(file, mode, buffering, *args, **given)
        raw = _File(disk, _place(file), mode.replace("b", "").replace("t", ""))
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *args, **given)

    return do


@final
class _File(io.FileIO):
    """A file whose writes are operations of the disk."""

    def __init__(self, disk: FaultyDisk, place: str, mode: str) -> None:
        self._disk, self._place = disk, place
        if not os.path.exists(place):
            disk.reach("create", place, name=place)
            disk.changed(place)
        super().__init__(place, mode)
        disk.written(place)

    def write(self, data: Any) -> int:
        content = bytes(data)
        self._disk.reach("write", self._place, half=content[: len(content) // 2])
        self._disk.written(self._place)
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        self._disk.reach("truncate", self._place)
        return super().truncate(size)
