"""Texts become weighted counts of words and of letters in a row (TF-IDF), through scikit-learn."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, hstack

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

Array = npt.NDArray[Any]

ANALYZERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "words": {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"},
    "letters": {"analyzer": "char_wb", "ngram_range": (3, 5)},
}
"""What is counted: words and pairs of neighbours; three to five letters in a row within a word."""
_MOST_WEIGHTS: Final = 6_000_000
"""Labels x features of each kind, so that a fit stays below one gigabyte."""
_MOST_FEATURES: Final = 100_000
_RARE_FROM: Final = 1_000
"""Rows from which what occurs in one row alone is left out."""


@dataclass(frozen=True)
class Tfidf:
    """The vocabularies of training texts, with the inverse document frequency of each entry."""

    vocabularies: Mapping[str, Sequence[str]]
    """By the names of `ANALYZERS`, in the order of the features."""
    idf: Mapping[str, npt.NDArray[np.float32]]
    """By the same names, (features,)."""

    def __call__(self, texts: Sequence[str]) -> csr_matrix:
        """float32 (rows, features); of each kind the squared norm of a row is 1, or 0."""
        parts = [vectorizer.transform(texts) for vectorizer in self._vectorizers]
        none = csr_matrix((len(texts), 0), dtype=np.float32)
        return csr_matrix(hstack([none, *parts], format="csr", dtype=np.float32))

    @cached_property
    def _vectorizers(self) -> "tuple[TfidfVectorizer, ...]":
        vectorizers = []
        for name, words in ((name, words) for name, words in self.vocabularies.items() if words):
            vectorizer = _vectorizer(name, vocabulary={word: number for number, word in enumerate(words)})
            vectorizer.idf_ = self.idf[name].astype(np.float64)
            vectorizers.append(vectorizer)
        return tuple(vectorizers)

    def tensors(self) -> dict[str, Array]:
        """All of it as named arrays; vocabularies as the bytes of a JSON list."""
        written = {
            name: json.dumps(list(words), ensure_ascii=False).encode() for name, words in self.vocabularies.items()
        }
        return {
            **{f"{name}.vocabulary": np.frombuffer(content, dtype=np.uint8) for name, content in written.items()},
            **{f"{name}.idf": idf for name, idf in self.idf.items()},
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array]) -> "Tfidf":
        """What `tensors` gave.

        Raises:
            ValueError: a vocabulary is no list of words, or there are not as many frequencies as words.
        """
        vocabularies: dict[str, list[str]] = {}
        for name in ANALYZERS:
            words = json.loads(tensors[f"{name}.vocabulary"].tobytes().decode())
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise ValueError(f"the vocabulary of {name} must be a list of words")
            if len(set(words)) != len(words) or len(words) != len(tensors[f"{name}.idf"]):
                raise ValueError(f"{name} must have one frequency for each of its words")
            vocabularies[name] = words
        return cls(vocabularies, {name: tensors[f"{name}.idf"] for name in ANALYZERS})


def fit_tfidf(texts: Sequence[str], *, labels: int) -> Tfidf:
    """The vocabulary of texts: what occurs in the most of them, as far as memory for so many labels goes.

    Texts with no word and no letter give features of width 0.
    """
    most = min(_MOST_FEATURES, max(_MOST_WEIGHTS // max(labels, 1), 1))
    vocabularies: dict[str, Sequence[str]] = {}
    idf: dict[str, npt.NDArray[np.float32]] = {}
    for name in ANALYZERS:
        vectorizer = _vectorizer(name, min_df=2 if len(texts) >= _RARE_FROM else 1, max_features=most)
        try:
            vectorizer.fit(texts)
        except ValueError:  # scikit-learn: "empty vocabulary"
            vocabularies[name], idf[name] = [], np.zeros(0, dtype=np.float32)
            continue
        vocabularies[name] = vectorizer.get_feature_names_out().tolist()
        idf[name] = vectorizer.idf_.astype(np.float32)
    return Tfidf(vocabularies, idf)


def _vectorizer(name: str, **options: Any) -> "TfidfVectorizer":
    from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second, and few runs need it

    return TfidfVectorizer(**ANALYZERS[name], lowercase=True, sublinear_tf=True, dtype=np.float32, **options)
