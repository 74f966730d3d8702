"""Synonyms from the embeddings of a pretrained model: there is no list of words to download."""

import re
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from tunery.data.augmentation.operations import Synonyms

LEAST_COSINE: Final = 0.5
"""Between centred embeddings of two words."""
MOST: Final = 5
"""Synonyms of a word."""
_ROWS: Final = 1024
_WORD: Final = re.compile(r"[^\W\d_]{2,}")


def neighbours(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, embeddings: npt.NDArray[np.float32]
) -> Synonyms:
    """Up to five words for each word of the texts: those words of the texts whose embeddings are nearest to its own, by
    the cosine, which has to be at least 0.5 once the mean of all is taken off.

    Words that are several tokens have none, and neither have the stop words of English.

    Args:
        embeddings: of the tokens: (vocabulary, hidden).
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS  # takes half a second, and few runs need it

    found = {word for text in texts for word in _WORD.findall(text) if word.lower() not in ENGLISH_STOP_WORDS}
    words = sorted(found, key=lambda word: (word != word.lower(), word))  # of two with the same token, in small letters
    if not words:
        return {}
    token_ids: Any = tokenizer([f" {word}" for word in words], add_special_tokens=False)["input_ids"]
    by_token: dict[int, str] = {}
    for word, ids in zip(words, token_ids, strict=True):
        if len(ids) == 1 and ids[0] != tokenizer.unk_token_id:
            by_token.setdefault(ids[0], word)
    names = list(by_token.values())
    vectors = embeddings[list(by_token)] - embeddings.mean(axis=0)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    synonyms: dict[str, list[str]] = {}
    for start in range(0, len(names), _ROWS):
        cosines = vectors[start : start + _ROWS] @ vectors.T
        for name, row in zip(names[start : start + _ROWS], cosines, strict=True):
            near = np.flatnonzero(row >= LEAST_COSINE)
            nearest = (names[number] for number in near[np.argsort(-row[near], kind="stable")])
            if others := [other for other in nearest if other.lower() != name.lower()][:MOST]:
                synonyms[name] = others
    return synonyms
