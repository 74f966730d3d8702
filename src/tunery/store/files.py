"""Every change of the disk: done or not done, whatever stops the process or refuses an operation in the middle.

Two kinds of names are the store's own, and nobody else's:

- `.<name>.<pid>.tmp`, a temporary: half-written or half-removed, and nobody's once its process is gone;
- `.<name>.old`, what a folder held before it was replaced: it is good, and comes back where its place is empty.

`recover` sees to both after a crash.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tunery.errors import FolderError

LOCK: Final = ".lock"
"""In a folder that one process at a time may write to."""


def temporary(path: Path) -> Path:
    """The name under which `path` is written, or removed."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def is_temporary(path: Path) -> bool:
    """Whether this is a temporary of some process."""
    return path.name.startswith(".") and path.suffix == ".tmp"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the path in an `OSError` that does not: those of open files say only what went wrong."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, on disk for good."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def write(path: Path, *parts: bytes | memoryview) -> None:
    """Write the parts one after another as the whole of a file; `sync` has it reach the disk."""
    with naming(path), path.open("wb", buffering=0) as file:
        for part in parts:
            rest = memoryview(part).cast("B")
            while rest:
                rest = rest[file.write(rest) :]


def sync(path: Path) -> None:
    """Make sure that a file, or the names in a folder, have reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with naming(path):
            os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # so says a file system whose folders cannot be synced, and need not be
            raise
    finally:
        os.close(descriptor)


def rename(source: Path, target: Path) -> None:
    """Give `source` the name of `target`, in whose place it comes, on disk for good."""
    source.replace(target)
    sync(target.parent)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path; when the block ends well, it becomes `path` in one step, on disk for good."""
    make_folder(path.parent)
    staged = temporary(path)
    try:
        yield staged
        sync(staged)
        rename(staged, path)
    except BaseException:
        with suppress(OSError):
            staged.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file whole."""
    with written_whole(path) as staged:
        write(staged, *parts)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    write_bytes(path, text.encode(errors="replace"))


def remove(path: Path) -> None:
    """Remove a file, if it is there, on disk for good."""
    with suppress(FileNotFoundError):
        path.unlink()
        sync(path.parent)


def remove_tree(path: Path) -> None:
    """Remove a folder, if it is there: at no moment does it lie half-removed under its own name."""
    doomed = temporary(path)
    _delete(doomed)
    if path.exists():
        with suppress(FileNotFoundError):  # another process was quicker
            rename(path, doomed)
        _delete(doomed)


def replace_folder(staged: Path, target: Path) -> None:
    """Let a staged folder take the place of another: at every moment one of the two is there, whole.

    Between two renames the old one is called `.<name>.old`; `recover` puts it back after a crash there.
    """
    for folder, _, files in os.walk(staged, topdown=False):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))
    aside = _aside(target)
    try:
        if target.exists():
            remove_tree(aside)
            rename(target, aside)
        rename(staged, target)
    except OSError:
        _put_back(aside, target)
        raise
    remove_tree(aside)


def recover(folder: Path) -> None:
    """Finish what a dead process began below a folder that is held now: temporaries go, folders set aside come back.

    Folders below it that are held by themselves are left alone.
    """
    for place, folders, files in os.walk(folder):
        if LOCK in files and Path(place) != folder:
            folders.clear()
            continue
        for name in [*folders, *files]:
            _finish(Path(place, name))
        folders[:] = [name for name in folders if Path(place, name).is_dir()]


def _finish(path: Path) -> None:
    if is_temporary(path):
        _delete(path)
    elif path.name.startswith(".") and path.suffix == ".old":
        _put_back(path, path.with_name(path.stem[1:]))
        remove_tree(path)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _put_back(aside: Path, target: Path) -> None:
    if aside.exists() and not target.exists():
        rename(aside, target)


def entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """What is in a folder, by name; nothing where it does not exist."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def size(folder: str | Path) -> int:
    """Bytes of all files below a folder, without those that another process removes meanwhile."""
    return sum(size_of(entry) for entry in entries(folder))


def size_of(entry: os.DirEntry[str]) -> int:
    """Bytes of a file, or of all files below a folder; 0 for what has just been removed, and for links to folders."""
    if entry.is_dir(follow_symlinks=False):
        return size(entry.path)
    try:
        return entry.stat().st_size if entry.is_file() else 0
    except FileNotFoundError:
        return 0


def require_writable(folder: Path) -> None:
    """Create `folder` and write to it once.

    Raises:
        FolderError: when it cannot be created or written to.
    """
    try:
        make_folder(folder)
        probe = temporary(folder / "probe")
        write(probe)
        probe.unlink(missing_ok=True)
    except OSError as error:
        message = (
            f"the run folder must be writable, but {str(folder)!r} is not ({error.strerror}); choose another --out"
        )
        raise FolderError(message) from error
