"""Every change of the disk: done or not done, whatever stops the process or refuses an operation in the middle.

Two kinds of names (`ownership`) are left behind by a crash, and `recover` sees to both:

- a temporary is half-written or half-removed, and goes once its process is gone;
- a folder that was set aside is what it held before it was replaced: it is good, and comes back where nothing has
  taken its name.
"""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tunery.errors import FolderError
from tunery.store.disk.ownership import CELLS, RESCORED, RESUME, aside, is_temporary, set_aside_from, temporary


@contextmanager
def with_filename(path: Path) -> Iterator[None]:
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
    """Write the parts one after another as the whole of a new file; `sync` has it reach the disk.

    Raises:
        FileExistsError: when something is there, a link included.
    """
    with with_filename(path), path.open("xb", buffering=0) as file:
        for part in parts:
            rest = memoryview(part).cast("B")
            while rest:
                rest = rest[file.write(rest) :]


def sync(path: Path) -> None:
    """Make sure that a file, or the names in a folder, have reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with with_filename(path):
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
def atomic_write(path: Path) -> Iterator[Path]:
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
    with atomic_write(path) as staged:
        write(staged, *parts)


@contextmanager
def write_in_parts(path: Path, size: int) -> Iterator[Callable[[memoryview, int], None]]:
    """Write a file of `size` bytes whole, whose parts come in any order: yields what takes a part and its place. The
    file has its size, which a budget counts, from the beginning."""
    with atomic_write(path) as staged, with_filename(staged), staged.open("xb", buffering=0) as file:

        def write_part(part: memoryview, place: int) -> None:
            rest = part.cast("B")
            while rest:
                written = os.pwrite(file.fileno(), rest, place)
                rest, place = rest[written:], place + written

        os.ftruncate(file.fileno(), size)
        yield write_part


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
    if os.path.lexists(path):
        with suppress(FileNotFoundError):  # another process was quicker
            rename(path, doomed)
        _delete(doomed)


def remove_empty(folder: Path) -> None:
    """Remove a folder in which nothing is left, if it is there, on disk for good."""
    if folder.is_dir() and not folder.is_symlink() and not entries(folder):
        with suppress(FileNotFoundError):
            folder.rmdir()
            sync(folder.parent)


def replace_folder(staged: Path, target: Path) -> None:
    """Let a staged folder take the place of another: at every moment one of the two is there, whole.

    Its files get the mode that new files have. Between two renames the old one is set aside; `recover` puts it back
    after a crash there.
    """
    mode = _mode_of_new_files(target.parent)
    for folder, _, files in os.walk(staged, topdown=False):
        for name in files:
            os.chmod(Path(folder, name), mode)
            sync(Path(folder, name))
        sync(Path(folder))
    old = aside(target)
    try:
        if os.path.lexists(target):
            remove_tree(old)
            rename(target, old)
        rename(staged, target)
    except OSError:
        _put_back(old, target)
        raise
    remove_tree(old)


def _mode_of_new_files(folder: Path) -> int:
    """What the umask, and a default of the folder's, make of a new file; some libraries write theirs for the owner."""
    probe = temporary(folder / "probe")
    write(probe)
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    return mode


def recover(folder: Path) -> None:
    """Finish what a dead process began in a run folder that is held now: temporaries go, folders set aside come back.

    Objects, trials and cells have locks of their own, and are left to those who hold them.
    """
    root = folder.resolve()
    methods = [root / CELLS / entry.name for entry in entries(root / CELLS)]
    for path in [Path(entry) for below in (root, root / RESUME, root / RESCORED, *methods) for entry in entries(below)]:
        if is_temporary(path):
            _delete(path)
        elif (target := set_aside_from(path)) is not None:
            _put_back(path, target)
            remove_tree(path)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _put_back(old: Path, target: Path) -> None:
    if os.path.lexists(old) and not os.path.lexists(target):
        rename(old, target)


def entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """What is in a folder, by name; nothing where it does not exist, or is a link."""
    if os.path.islink(folder):
        return []
    try:
        with os.scandir(folder) as inside:
            return sorted(inside, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def size(folder: str | Path) -> int:
    """Bytes of all files below a folder, without those that another process removes meanwhile."""
    return sum(size_of(entry) for entry in entries(folder))


def size_of(entry: os.DirEntry[str]) -> int:
    """Bytes of a file, or of all files below a folder; 0 for what has just been removed, and for links."""
    if entry.is_dir(follow_symlinks=False):
        return size(entry.path)
    try:
        return entry.stat().st_size if entry.is_file(follow_symlinks=False) else 0
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
