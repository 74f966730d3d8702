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
        files = [file for file in sorted(path.iterdir()) if file.is_file() and split_of(file) == "train"]
        if len(files) != 1:
            several = f"{len(files)} are" if files else "none is"
            raise DataError(f"one file in {str(path)!r} must be called train.*, but {several}; name the file")
        return files[0]
    split = split_of(path)
    if split in ("validation", "test") and (train := split_file(path, split, "train")):
        raise DataError(
            f"a config starts from the training file, but {path.name} is the {split} file; pass {train.name}"
        )
    return path


def split_of(path: Path) -> str | None:
    """The split that a file is named after."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    return next((split for split, names in NAMES.items() if any(name in words for name in names)), None)


def split_file(path: Path, split: str, wanted: str) -> Path | None:
    """The file beside `path`, that of a split, which is named like it with another split's name in place of its own."""
    pattern = re.compile(rf"(?<![a-z])({'|'.join(NAMES[split])})(?![a-z])", re.IGNORECASE)
    for suffix in dict.fromkeys([path.suffix, *PARSERS]):
        for name in NAMES[wanted]:
            file = path.with_name(pattern.sub(name, path.stem) + suffix)
            if file.is_file():
                return file
    return None
