"""One process at a time writes to a folder: as long as it works there (`held`), or for a moment, in turns (`alone`).

The folder's `.lock` is locked by `flock`, and says in JSON who holds it for long. The kernel frees a `flock` when the
last descriptor of the open file is closed, and children that a process forked (workers of a data loader) have inherited
one: they would hold the folder for as long as they outlive a killed parent. So a forked child closes its copy before
it does anything else. A POSIX record lock is not inherited, but its process loses it by closing *any* descriptor of the
file, and two holders within one process do not exclude each other.

Where a file system has no locks, what the file says has to do: its process is alive on this machine, and has the start
time written there, so that another process with the same number is not mistaken for it. In that case two processes
that take over a dead one's folder at the very same moment are not told apart, and it cannot be known whether a process
on another machine is alive: it is taken to be, until a person removes the file. Turns are taken by Fischer's algorithm
there (Lamport 1987, "A fast mutual exclusion algorithm", section 2): write your name where none is, wait until whoever
saw none either must have written theirs, and go on if yours is still there.

The package filelock (4.2) does not replace this. Its `FileLock` does without `flock` only where that answers ENOSYS; of
the ENOLCK and ENOTSUP of network file systems it makes an error. It can be asked who holds a lock only by taking it,
which needs permission to write, and makes the file where there is none; pages and inventories of other people's runs
ask too. And without locks it makes a file for every turn, for which a full disk has no room, so that it could not be
cleaned. The tests named `no locks`, `..._that_may_only_be_read_...` and `..._was_never_held_...` pass here and fail
there.
"""

import errno
import fcntl
import json
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from tunery.errors import FolderError
from tunery.store.disk.files import with_filename
from tunery.store.disk.ownership import LOCK

PROC: Final = Path("/proc")
_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
_TRIES: Final = 5
_PAUSE: Final = 0.02
"""Seconds between two tries: `holder` has the lock for an instant, and must not keep another process out for that."""
_TURN: Final = 0.002
"""Seconds between two looks whether it is this process' turn."""
_SETTLED: Final = 0.05
"""Seconds within which, without locks, another process has written its name after it had seen none."""
_HELD: Final[set[int]] = set()
"""Descriptors of the locks of this process."""


class Holder(NamedTuple):
    """The process that holds a folder."""

    pid: int
    started: int | None
    """Clock ticks from boot to its start; None on systems without `/proc`."""
    host: str
    since: str
    """When it took the folder: ISO 8601, UTC."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


_NAMELESS: Final = Holder(0, None, "?", "?")
"""Holds the lock, and has not yet said who it is."""


@contextmanager
def held(folder: Path, *, wait: Callable[[Holder], None] | None = None) -> Iterator[None]:
    """Hold a folder, which exists, until the block ends or the process does.

    Args:
        wait: called with the process that holds it, until that has left; it may raise. None: the folder is refused.

    Raises:
        FolderError: when a living process holds it; the message names it.
        OSError: when the lock file cannot be written.
    """
    descriptor = _opened(folder)
    try:
        tries = 0
        while not _obtained(descriptor, fcntl.LOCK_EX):
            tries += 1
            if tries < _TRIES:
                time.sleep(_PAUSE)
            elif wait is None:
                raise _refusal(folder, _read(descriptor) or _NAMELESS)
            else:
                wait(_read(descriptor) or _NAMELESS)
        with with_filename(folder / LOCK):
            _write(descriptor, json.dumps(_myself("seconds")._asdict()))
    except BaseException:
        _close(descriptor)
        raise
    try:
        yield
    finally:
        _let_go(descriptor)


@contextmanager
def alone(folder: Path, *, say: Callable[[str], None], patience: float = 30.0) -> Iterator[None]:
    """Be the only process in this block for a folder, which exists; wait for one that is in it, on whatever machine.

    It is for moments: others wait, and a process that dies in the block is not waited for. Within the block it must not
    be entered again for the same folder.

    Args:
        say: is told who is being waited for.
        patience: seconds before it is told; turns are much shorter.

    Raises:
        OSError: when the lock file cannot be opened.
    """
    descriptor = _opened(folder)
    try:
        late = time.monotonic() + patience
        while not _has_turn(descriptor, folder):
            if time.monotonic() > late:
                late = float("inf")
                say(f"waiting for {_read(descriptor) or 'another process'}, which is at work in {str(folder)!r}")
            time.sleep(_TURN)
    except BaseException:
        _close(descriptor)
        raise
    try:
        yield
    finally:
        _let_go(descriptor)


def holder(folder: Path, *, proc: Path = PROC) -> Holder | None:
    """The process that holds a folder, which is not taken for that; None where none does.

    Args:
        proc: where the system describes its processes, if it does.
    """
    try:
        descriptor = _open_file(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return None if _obtained(descriptor, fcntl.LOCK_SH, proc) else _read(descriptor) or _NAMELESS
    finally:
        os.close(descriptor)


def _opened(folder: Path) -> int:
    descriptor = _open_file(folder / LOCK, os.O_RDWR | os.O_CREAT)
    _HELD.add(descriptor)
    return descriptor


def _open_file(path: Path, how: int) -> int:
    """Open what must be a regular file: a link would have its target overwritten, a pipe would make this wait.

    Raises:
        FolderError: when it is something else.
    """
    descriptor = None
    try:
        descriptor = os.open(path, how | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
    if descriptor is not None:
        os.close(descriptor)
    raise FolderError(f"a lock must be a regular file, but {str(path)!r} is none; remove it, and start again")


def _let_go(descriptor: int) -> None:
    if descriptor not in _HELD:  # a child that was forked in the block
        return
    try:
        if os.fstat(descriptor).st_size:
            with suppress(OSError):
                _write(descriptor, "\n")
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a process that was forked meanwhile has a copy that holds it, too
    finally:
        _close(descriptor)


def _has_turn(descriptor: int, folder: Path) -> bool:
    with with_filename(folder / LOCK):
        locked = _locked(descriptor, fcntl.LOCK_EX)
        return _is_still_mine(descriptor) if locked is None else locked


def _is_still_mine(descriptor: int) -> bool:
    """Without locks: no living process is named there, and after a while this one still is."""
    if _names_living_process(descriptor):
        return False
    name = _myself("microseconds")  # threads of one process are told apart as well
    _write(descriptor, json.dumps(name._asdict()))
    time.sleep(_SETTLED)
    return _read(descriptor) == name


def _refusal(folder: Path, process: Holder) -> FolderError:
    is_elsewhere = process.host not in (socket.gethostname(), _NAMELESS.host)
    remedy = f"; if that process is gone for certain, remove {str(folder / LOCK)!r}" if is_elsewhere else ""
    return FolderError(f"{str(folder)!r} is in use by {process}; wait for it, or choose another --out{remedy}")


def _obtained(descriptor: int, how: int, proc: Path = PROC) -> bool:
    locked = _locked(descriptor, how)
    return not _names_living_process(descriptor, proc) if locked is None else locked


def _locked(descriptor: int, how: int) -> bool | None:
    """Whether the lock was free; None where there are no locks."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return None
    return True


def _names_living_process(descriptor: int, proc: Path = PROC) -> bool:
    named = _read(descriptor)
    if named is None or named.host != socket.gethostname():
        return named is not None
    return _exists(named.pid) and _start(named.pid, proc) == named.started


def _read(descriptor: int) -> Holder | None:
    """What the lock file says; None where it says nothing that makes sense."""
    try:
        return Holder(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError, RecursionError):
        return None


def _write(descriptor: int, text: str) -> None:
    """In place: what was written once needs no room on a full disk."""
    os.pwrite(descriptor, text.encode(), 0)
    os.ftruncate(descriptor, len(text.encode()))


def _close(descriptor: int) -> None:
    _HELD.discard(descriptor)
    os.close(descriptor)


def _close_all_in_child() -> None:
    for descriptor in _HELD:
        os.close(descriptor)
    _HELD.clear()


os.register_at_fork(after_in_child=_close_all_in_child)


def _myself(precision: str) -> Holder:
    since = datetime.now(UTC).isoformat(timespec=precision)
    return Holder(os.getpid(), _start(os.getpid()), socket.gethostname(), since)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def _start(pid: int, proc: Path = PROC) -> int | None:
    """Clock ticks from boot to the start of a process; None for one that has ended, a zombie included."""
    try:
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])
