"""Files that the user names, such as `predict --output`: a file that exists is replaced only where the user says so."""

import os
from collections.abc import Iterable
from pathlib import Path

from tunery.errors import OutputError
from tunery.store.disk.files import with_filename, write_bytes


def require_free(path: Path, *, sources: Iterable[Path] = (), overwrite: bool = False) -> None:
    """Look, before any work is done, whether `path` may be written.

    A device or a pipe may always be: it holds nothing that could be lost.

    Args:
        sources: what is read; a file is never written over what it is made from, not even with `overwrite`.
        overwrite: whether a file that exists may be replaced.

    Raises:
        OutputError: when something is there that must stay, or the folder cannot be written.
    """
    if _is_stream(path):
        return
    for source in sources:
        if source.exists() and path.exists() and source.samefile(path):
            raise OutputError(f"output and input must be two files, but {str(path)!r} is both; choose another output")
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise OutputError(f"the output must be a file, but {str(path)!r} is something else; choose another output")
    if path.exists() and not overwrite:
        rule = "a file that exists is replaced with --overwrite only"
        raise OutputError(f"{rule}, and {str(path)!r} exists; choose another output, or add --overwrite")
    folder = next(above for above in path.absolute().parents if above.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"the output's folder must be writable, but {str(folder)!r} is not; choose another output")


def write_output(path: Path, text: str, *, sources: Iterable[Path] = (), overwrite: bool = False) -> None:
    """Write a file whole, in UTF-8; a link stays one, and what it points to is written.

    Raises:
        OutputError: as `require_free` does; what was there is then as it was.
    """
    require_free(path, sources=sources, overwrite=overwrite)
    content = text.encode(errors="replace")
    if _is_stream(path):
        with with_filename(path), path.open("wb") as stream:
            stream.write(content)
    else:
        write_bytes(path.resolve(), content)


def _is_stream(path: Path) -> bool:
    return path.is_char_device() or path.is_fifo()
