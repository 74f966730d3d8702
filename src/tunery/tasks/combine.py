"""How answers of several models that give labels become one: over logits alone, whatever models they come from."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tunery.data.metrics import Floats, finite, log_softmax, sigmoid

Logits = npt.NDArray[np.floating[Any]]
Thresholds = Sequence[float]

_LEAST: Final = 1e-300
_MOST: Final = 1 - 2.0**-53


class Combiner(NamedTuple):
    """How logits and probabilities belong together, all (rows, labels), and what counts as a vote."""

    probabilities: Callable[[Logits], Floats]
    logits: Callable[[Floats], Floats]
    votes: Callable[[Floats, Thresholds | None], Floats]
    """1 where a label is given, else 0; from probabilities and the member's own thresholds."""


def _softmax(logits: Logits) -> Floats:
    probabilities: Floats = np.exp(log_softmax(finite(logits)))
    return probabilities


def _log(probabilities: Floats) -> Floats:
    logits: Floats = np.log(np.maximum(probabilities, _LEAST))
    return logits


def _one_vote(probabilities: Floats, thresholds: Thresholds | None) -> Floats:
    votes: Floats = np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)]
    return votes


def _sigmoid(logits: Logits) -> Floats:
    return sigmoid(finite(logits))


def _log_odds(probabilities: Floats) -> Floats:
    p = np.clip(probabilities, _LEAST, _MOST)
    logits: Floats = np.log(p) - np.log1p(-p)
    return logits


def _votes_by_label(probabilities: Floats, thresholds: Thresholds | None) -> Floats:
    return (probabilities >= np.array(thresholds)).astype(np.float64)


SOFTMAX: Final = Combiner(_softmax, _log, _one_vote)
"""One label a row."""
SIGMOID: Final = Combiner(_sigmoid, _log_odds, _votes_by_label)
"""Any number of labels a row."""
