"""A disk that fails: the k-th operation below a folder is refused, or is the last one before the power goes.

It stands between Python and the system: every `os` call that changes the disk, and every write to a file that Python
opened. Files that other languages write are seen when they are synced, renamed or removed.
"""

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, final

import pytest

ERRNOS = (errno.ENOSPC, errno.EIO, errno.EACCES)


class Crash(BaseException):
    """The process is dead."""


def refuse(number: int) -> Callable[["FaultyDisk"], NoReturn]:
    """Let an operation fail with an errno."""

    def fail(disk: "FaultyDisk") -> NoReturn:
        raise OSError(number, os.strerror(number))

    return fail


def crash(disk: "FaultyDisk") -> NoReturn:
    """Let the process die; everything that it has written stays."""
    disk.dead = True
    raise Crash


def lose_power(disk: "FaultyDisk") -> NoReturn:
    """Let the process die, and take with it every byte and every name that was not synced."""
    disk.forget()
    disk.dead = True
    raise Crash


@final
class FaultyDisk:
    """Counts the operations below `root`; the one numbered `at`, from 0, meets its `fate`."""

    def __init__(self, root: Path, *, at: int | None = None, fate: Callable[["FaultyDisk"], NoReturn] = crash) -> None:
        self.root = str(root)
        self.at = at
        self.fate = fate
        self.log: list[str] = []
        self.dead = False
        self._synced: dict[str, int] = {}  # file -> bytes of it that would survive
        self._unsynced: list[tuple[str, Callable[[], None]]] = []  # folder -> how its last change is undone
        self._aside = root.parent / f"{root.name}-aside"

    def reach(self, kind: str, path: str, partly: Callable[[], object] = lambda: None) -> None:
        """An operation is about to be done; of the one that fails, `partly` is done."""
        if self.dead:
            raise Crash
        self.log.append(f"{kind} {os.path.relpath(path, self.root)}")
        if len(self.log) - 1 == self.at:
            partly()
            self.fate(self)

    def covers(self, path: str) -> bool:
        """Whether this is a path below the root."""
        return path == self.root or path.startswith(f"{self.root}/")

    def written(self, path: str) -> None:
        """Some of a file is not synced."""
        self._synced.setdefault(path, os.stat(path).st_size if os.path.exists(path) else 0)

    def synced(self, path: str) -> None:
        """A file, or the names in a folder, have reached the disk."""
        self._synced.pop(path, None)
        self._unsynced = [(folder, undo) for folder, undo in self._unsynced if folder != path]

    def changed(self, path: str, target: str | None = None) -> None:
        """A name is about to go, to come, or to become another."""
        backup = self._keep(target or path)
        self._unsynced.append((os.path.dirname(target or path), lambda: self._undo(path, target, backup)))
        if target is not None and path in self._synced:
            self._synced[target] = self._synced.pop(path)

    def _keep(self, path: str) -> str | None:
        """Another name for a file that is about to lose its own; folders are never overwritten."""
        if not os.path.isfile(path):
            return None
        self._aside.mkdir(exist_ok=True)
        backup = str(self._aside / str(len(self._unsynced)))
        with suppress(FileNotFoundError):
            REAL["unlink"](backup)
        os.link(path, backup)
        return backup

    def _undo(self, path: str, target: str | None, backup: str | None) -> None:
        with suppress(OSError):
            if target is not None:
                REAL["rename"](target, path)
            elif os.path.isdir(path):
                REAL["rmdir"](path)
            elif backup is None:
                REAL["unlink"](path)
            if backup is not None:
                os.link(backup, target or path)

    def forget(self) -> None:
        """What the disk looks like when the power comes back."""
        for path, size in self._synced.items():
            with suppress(OSError):
                REAL["truncate"](path, min(size, os.stat(path).st_size))
        for _, undo in reversed(self._unsynced):
            undo()


NAMES = ("mkdir", "unlink", "rmdir", "rename", "truncate")
REAL: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in NAMES}


@contextmanager
def faulty(disk: FaultyDisk) -> Iterator[FaultyDisk]:
    """All that this process does to the disk goes through `disk`."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("mkdir", "unlink", "remove", "rmdir"):
            patch.setattr(os, name, _one_name(disk, name, getattr(os, name)))
        for name in ("rename", "replace"):
            patch.setattr(os, name, _two_names(disk, name, getattr(os, name)))
        for name in ("write", "pwrite", "ftruncate", "fsync"):
            patch.setattr(os, name, _open_file(disk, name, getattr(os, name)))
        opened = _opener(disk, io.open)
        patch.setattr(io, "open", opened)
        patch.setattr(builtins, "open", opened)
        yield disk


def _place(path: Any, folder: int | None = None) -> str:
    if isinstance(path, int):
        return os.readlink(f"/proc/self/fd/{path}")
    base = os.getcwd() if folder is None else os.readlink(f"/proc/self/fd/{folder}")
    return os.path.normpath(os.path.join(base, os.fsdecode(path)))


def _one_name(disk: FaultyDisk, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(path: Any, *args: Any, dir_fd: int | None = None, **given: Any) -> Any:
        place = _place(path, dir_fd)
        if disk.covers(place) and os.path.exists(place) == (name != "mkdir"):
            disk.reach(name, place)
            disk.changed(place)
        return real(path, *args, dir_fd=dir_fd, **given)

    return call


def _two_names(disk: FaultyDisk, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(source: Any, target: Any, **given: Any) -> Any:
        if disk.covers(_place(target)):
            disk.reach(name, _place(target))
            disk.changed(_place(source), _place(target))
        return real(source, target, **given)

    return call


def _open_file(disk: FaultyDisk, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(descriptor: int, *args: Any) -> Any:
        place = _place(descriptor)
        if not disk.covers(place):
            return real(descriptor, *args)
        disk.reach(name, place)
        if name == "fsync":
            disk.synced(place)
            return None  # the machine stays on: there is nothing to wait for
        return real(descriptor, *args)

    return call


def _opener(disk: FaultyDisk, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **given: Any) -> Any:
        if isinstance(file, int) or not set(mode) & set("wax+") or not disk.covers(_place(file)):
            return real(file, mode, buffering, *args, **given)
        raw = _File(disk, _place(file), mode.replace("b", "").replace("t", ""))
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *args, **given)

    return call


@final
class _File(io.FileIO):
    """A file whose writes are operations of the disk; of one that fails, half is done."""

    def __init__(self, disk: FaultyDisk, place: str, mode: str) -> None:
        self._disk, self._place = disk, place
        if not os.path.exists(place):
            disk.reach("create", place)
            disk.changed(place)
        super().__init__(place, mode)
        disk.written(place)

    def write(self, data: Any) -> int:
        half = memoryview(data).cast("B")[: memoryview(data).nbytes // 2]
        self._disk.reach("write", self._place, lambda: super(_File, self).write(half))
        self._disk.written(self._place)
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        self._disk.reach("truncate", self._place)
        return super().truncate(size)
