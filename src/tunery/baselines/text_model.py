"""A linear model over counts of words, or over nothing: texts become logits without any neural network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from tunery.baselines.linear import Features, Linear, fit_logistic, fit_majority
from tunery.baselines.tfidf import Tfidf, fit_tfidf

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TextModel:
    """Texts become logits."""

    tfidf: Tfidf | None
    """None: every text gets the same answer."""
    linear: Linear

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Logits, (rows, labels)."""
        return self.linear(_features(texts, self.tfidf))

    def tensors(self) -> dict[str, Array]:
        """All of it as named arrays."""
        words = {} if self.tfidf is None else self.tfidf.tensors()
        return {**words, "weight": self.linear.weight, "bias": self.linear.bias}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array]) -> "TextModel":
        """What `tensors` gave.

        Raises:
            ValueError: the arrays do not fit together.
            KeyError: one is missing.
        """
        linear = Linear(tensors["weight"], tensors["bias"])
        tfidf = None if set(tensors) == {"weight", "bias"} else Tfidf.from_tensors(tensors)
        width = 0 if tfidf is None else sum(map(len, tfidf.vocabularies.values()))
        if linear.weight.shape != (len(linear.bias), width):
            raise ValueError(f"the weight must be of shape {(len(linear.bias), width)}, but is {linear.weight.shape}")
        return cls(tfidf, linear)


def fit_text_model(texts: Sequence[str], targets: Array, *, labels: int, seed: int) -> TextModel:
    """Logistic regression over TF-IDF of words and letters. targets: as in `fit_logistic`."""
    tfidf = fit_tfidf(texts, labels=labels)
    return TextModel(tfidf, fit_logistic(_features(texts, tfidf), targets, labels=labels, seed=seed).linear)


def majority_model(targets: Array, *, labels: int) -> TextModel:
    """The frequencies of labels as the answer to every text."""
    return TextModel(None, fit_majority(targets, labels=labels))


def _features(texts: Sequence[str], tfidf: Tfidf | None) -> Features:
    return csr_matrix((len(texts), 0), dtype=np.float32) if tfidf is None else tfidf(texts)
