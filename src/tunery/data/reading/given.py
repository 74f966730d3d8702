"""Texts that a program hands over become examples, as strictly as those of a file do."""

from collections.abc import Iterable, Mapping, Set
from typing import Any, Final

from tunery.data.examples import Example
from tunery.errors import DataError

Text = str | tuple[str, str]

_LONGEST: Final = 60
"""Letters of a value that are shown."""


def examples_from(texts: str | Iterable[Text], *, pairs: bool) -> list[Example]:
    """Make one example per text, or per pair of texts where `pairs` says so. A string is one text.

    Raises:
        DataError: when something is neither, with its position (from 0).
    """
    if isinstance(texts, str):
        texts = [texts]
    is_one = not isinstance(texts, Iterable) or getattr(texts, "ndim", 1) == 0
    if is_one or isinstance(texts, bytes | Mapping | Set) or hasattr(texts, "columns"):
        need = "texts come as one string or as a list of strings, in an order that answers can follow"
        raise DataError(f"{need}, but got {_shown(texts)}; of a table, give one column")
    return [_example(given, position, pairs=pairs) for position, given in enumerate(texts)]


def _example(given: Any, position: int, *, pairs: bool) -> Example:
    is_sequence = isinstance(given, list | tuple) or getattr(given, "ndim", 0) == 1
    parts = list(given) if pairs and is_sequence else [given]
    if len(parts) != 1 + pairs or not all(isinstance(part, str) for part in parts):
        need = "a pair of texts, as the model was trained on" if pairs else "a text"
        raise DataError(f"every item must be {need}, but item {position} is {_shown(given)}")
    for part in parts:
        try:
            part.encode()
        except UnicodeEncodeError:
            raise DataError(f"every text must be Unicode, but item {position} has half of a surrogate pair") from None
    return Example(*parts)


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return f"{type(value).__name__} {text if len(text) <= _LONGEST else text[: _LONGEST - 3] + '...'}"
