"""Texts that a program hands over become examples, as strictly as those of a file do."""

from collections.abc import Iterable, Mapping, Set
from typing import Any, Final

from tunery.data.examples import JOINT, Example
from tunery.errors import DataError

Text = str | tuple[str, ...]

_LONGEST: Final = 60
"""Characters of a value that are shown."""


def examples_from(texts: str | Iterable[Text], *, parts: int = 1, pairs: bool) -> list[Example]:
    """Make one example per text, or per tuple of texts where a row has several. A string is one text.

    Args:
        parts: columns that are joined as the text.
        pairs: whether a second text follows them.

    Raises:
        DataError: when something is neither, with its position (from 0).
    """
    if isinstance(texts, str):
        texts = [texts]
    is_one = not isinstance(texts, Iterable) or getattr(texts, "ndim", 1) == 0
    if is_one or isinstance(texts, bytes | Mapping | Set) or hasattr(texts, "columns"):
        need = "texts come as one string or as a list of strings, in an order that answers can follow"
        raise DataError(f"{need}, but got {_shown(texts)}; of a table, give one column")
    return [_example(given, position, parts=parts, pairs=pairs) for position, given in enumerate(texts)]


def _example(given: Any, position: int, *, parts: int, pairs: bool) -> Example:
    size = parts + pairs
    is_sequence = isinstance(given, list | tuple) or getattr(given, "ndim", 0) == 1
    texts = list(given) if size > 1 and is_sequence else [given]
    if len(texts) != size or not all(isinstance(text, str) for text in texts):
        several = f"{size} texts" if parts > 1 else "a pair of texts"
        need = f"{several}, as the model was trained on" if size > 1 else "a text"
        raise DataError(f"every item must be {need}, but item {position} is {_shown(given)}")
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise DataError(f"every text must be Unicode, but item {position} has half of a surrogate pair") from None
    return Example(JOINT.join(texts[:parts]), texts[parts] if pairs else None)


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return f"{type(value).__name__} {text if len(text) <= _LONGEST else text[: _LONGEST - 3] + '...'}"
