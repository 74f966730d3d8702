"""A linear model over counts of words, or over nothing: texts become logits without any neural network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from tunery.baselines.linear import Linear
from tunery.baselines.linear_models import fit_constant, fit_linear
from tunery.baselines.targets import LinearTargets
from tunery.baselines.tfidf import Tfidf, fit_tfidf

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TextModel:
    """Texts become logits, or numbers."""

    tfidf: Tfidf | None
    """None: every text gets the same answer."""
    linear: Linear

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Logits, (rows, labels)."""
        return self.linear(self.features(texts))

    def features(self, texts: Sequence[str]) -> csr_matrix:
        """What the linear model reads, float32 (rows, features); without TF-IDF of width 0."""
        return _features(texts, self.tfidf)

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
        shapes = ((len(linear.bias), width), (1, width))
        if linear.weight.shape not in shapes:
            raise ValueError(f"the weight must be of shape {shapes[0]}, but is {linear.weight.shape}")
        return cls(tfidf, linear)


def fit_text_model(texts: Sequence[str], targets: LinearTargets, *, seed: int) -> TextModel:
    """A linear model over TF-IDF of words and letters: logistic regression, or ridge regression of numbers."""
    tfidf = fit_tfidf(texts, labels=targets.outputs)
    return TextModel(tfidf, fit_linear(_features(texts, tfidf), targets, seed=seed))


def constant_model(targets: LinearTargets) -> TextModel:
    """The frequencies of labels, or the mean of numbers, as the answer to every text."""
    return TextModel(None, fit_constant(targets))


def _features(texts: Sequence[str], tfidf: Tfidf | None) -> csr_matrix:
    return csr_matrix((len(texts), 0), dtype=np.float32) if tfidf is None else tfidf(texts)
