"""Other people's files: what may lie in any folder, and what must be the same afterwards."""

import os
import stat
from pathlib import Path

NAMES = (
    ".vimrc.tmp", ".env.old", ".notes.old", "notes.txt", ".lock.tmp", ".x.safetensors.7.tmp", "mine.safetensors",
    "step-one.json", ".best.old", "007", "a b", "[red]", "ü", "no-utf8-\udcff", ".tunery-tmp", "x.tunery-old",
)  # fmt: skip
"""Names that look like temporaries, weights and resume points, and names that are hard to print."""
KINDS = ("file", "folder", "link to a file", "link to a folder", "link to nothing", "pipe")


def put(path: Path, kind: str, *, outside: Path) -> None:
    """Make something of a kind at `path`; links point to what lies in `outside`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "file":
        path.write_bytes(b"precious\x00\xff")
        path.chmod(0o640)
    elif kind == "folder":
        (path / "deeper").mkdir(parents=True)
        (path / "deeper" / ".x.old").write_text("precious")
        (path / ".y.tmp").write_text("precious")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(outside / {"link to a file": "file", "link to a folder": "folder"}.get(kind, "nothing"))


def litter(folder: Path, *, outside: Path) -> None:
    """Every kind of thing, under names of all sorts."""
    for number, name in enumerate(NAMES):
        put(folder / name, KINDS[number % len(KINDS)], outside=outside)


def make_outside(folder: Path) -> Path:
    """What links point to."""
    for path in (folder / "file", folder / "folder" / "model.safetensors", folder / "folder" / "step-3.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("precious")
    return folder


def state(folder: Path) -> dict[str, tuple[object, ...]]:
    """Every name below a folder, with kind and mode, and content or target."""
    found: dict[str, tuple[object, ...]] = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            mode = path.lstat().st_mode
            content: object = None
            if stat.S_ISREG(mode):
                content = path.read_bytes()
            elif stat.S_ISLNK(mode):
                content = os.readlink(path)
            found[str(path.relative_to(folder))] = (mode, content)
    return found
