"""Which files of a folder belong together: train, validation and test, by their names."""

import re
from pathlib import Path
from typing import Final

from tunery.data.reading.load import PARSERS
from tunery.errors import DataError

NAMES: Final = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "tst", "eval"),
}


def training_file(path: Path) -> Path:
    """The file itself, or the training file of a folder; a test file beside a training file is a slip."""
    if path.is_dir():
        found = [file for file in sorted(path.iterdir()) if file.is_file() and role_of(file) == "train"]
        if len(found) != 1:
            several = f"{len(found)} are" if found else "none is"
            raise DataError(f"one file in {str(path)!r} must be called train.*, but {several}; name the file")
        return found[0]
    role = role_of(path)
    if role in ("validation", "test") and (train := sibling(path, role, "train")):
        raise DataError(
            f"a config starts from the training file, but {path.name} is the {role} file; pass {train.name}"
        )
    return path


def role_of(path: Path) -> str | None:
    """The split that a file is named after."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    return next((role for role, names in NAMES.items() if any(name in words for name in names)), None)


def sibling(path: Path, role: str, wanted: str) -> Path | None:
    """The file beside `path` that is named like it, with another split's name in place of its own."""
    pattern = re.compile(rf"(?<![a-z])({'|'.join(NAMES[role])})(?![a-z])", re.IGNORECASE)
    suffixes = dict.fromkeys([path.suffix, *PARSERS])
    for suffix in suffixes:
        for name in NAMES[wanted]:
            file = path.with_name(pattern.sub(name, path.stem) + suffix)
            if file.is_file():
                return file
    return None
