"""Which files of a folder belong together: train, validation and test, by their names."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from tunery.data.reading.load import PARSERS, kind_of
from tunery.errors import DataError, enumerated

USUAL_NAMES: Final = {  # of the files and rows of each split
    "train": ("train", "training", "trn", "trainset"),
    "validation": ("validation", "valid", "val", "validate", "validating", "dev", "devel", "development", "devset"),
    "test": ("test", "testing", "tst", "eval", "evaluation", "holdout", "heldout", "testset"),
}


_POSTS, _ANNOTATIONS = (re.compile(rf"(?<![a-z]){word}s?(?![a-z])") for word in ("post", "annotation"))
"""Words in the names of two files that belong together, as ReDSM5 has them."""


def training_file(path: Path) -> Path:
    """The file itself, or the training file of a folder; of posts and their annotated sentences, the posts. A test file
    beside a training file is a slip."""
    if path.is_dir():
        files = [file for file in sorted(path.iterdir()) if file.is_file() and posts_of(file) is None]
        files = [file for file in files if split_of(file) == "train"] or [
            file for file in files if annotations_of(file)
        ]
        files = [file for file in files if kind_of(file) in PARSERS] or files
        if len(files) != 1:
            named = enumerated([file.name for file in files])
            several = f"{len(files)} are ({named})" if files else "none is"
            raise DataError(f"one file in {str(path)!r} must be called train.*, but {several}; name the file")
        return files[0]
    path = posts_of(path) or path
    split = split_of(path)
    if split in ("validation", "test") and (train := split_file(path, split, "train")):
        raise DataError(
            f"a config starts from the training file, but {path.name} is the {split} file; pass {train.name}"
        )
    return path


def split_named(name: str) -> str | None:
    """The split that a word means, whatever its case."""
    return next((split for split, names in USUAL_NAMES.items() if name.casefold() in names), None)


def split_of(path: Path) -> str | None:
    """The split that a file is named after."""
    words = set(re.split(r"[^a-z]+", _stem(path)))
    return next((split for split, names in USUAL_NAMES.items() if not words.isdisjoint(names)), None)


def split_file(path: Path, split: str, wanted: str) -> Path | None:
    """The file beside `path` that is named like it, with another split's name in place of its own, in any case."""
    like = _without(split, path)
    kinds = list(dict.fromkeys([kind_of(path), *PARSERS]))
    files = [
        file
        for file in _beside(path)
        if split_of(file) == wanted and _without(wanted, file) == like and kind_of(file) in kinds
    ]
    return min(files, key=lambda file: (kinds.index(kind_of(file)), file.name), default=None)


def unused(path: Path, used: Collection[Path]) -> list[str]:
    """Names of files beside `path` that are called after validation or test and are not used."""
    files = [file for file in _beside(path) if kind_of(file) in PARSERS and file not in used]
    return [file.name for file in files if split_of(file) in ("validation", "test")]


def annotations_of(path: Path) -> Path | None:
    """The file of annotated sentences beside one of posts: `a_posts.csv` and `a_annotations.csv`."""
    return _partner(path, _POSTS, _ANNOTATIONS)


def posts_of(path: Path) -> Path | None:
    """The file of posts beside one of annotated sentences."""
    return _partner(path, _ANNOTATIONS, _POSTS)


def _partner(path: Path, own: re.Pattern[str], other: re.Pattern[str]) -> Path | None:
    """The file beside `path` that is named like it, with another word in place of its own."""
    name, count = own.subn("", _stem(path))
    if not count:
        return None
    files = [file for file in _beside(path) if other.sub("", _stem(file)) == name != _stem(file)]
    return next((file for file in files if kind_of(file) in PARSERS), None)


def _beside(path: Path) -> list[Path]:
    return sorted(file for file in path.parent.iterdir() if file != path and file.is_file())


def _stem(path: Path) -> str:
    """The name without its suffixes, in lower case, with an underscore between words."""
    name = path.name.removesuffix(".gz").removesuffix(".GZ")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", Path(name).stem).lower()


def _without(split: str, path: Path) -> str:
    return re.sub(rf"(?<![a-z])({'|'.join(USUAL_NAMES[split])})(?![a-z])", "", _stem(path))
