"""How answers of several models become one: over logits or numbers alone, whatever models they come from."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tunery.data.metrics import Floats, finite, log_softmax, sigmoid

Logits = npt.NDArray[np.floating[Any]]
Thresholds = Sequence[float]

_LEAST: Final = 1e-300
_MOST: Final = 1 - 2.0**-53
"""Bounds of a probability that has finite log odds."""


class Combiner(NamedTuple):
    """How logits and probabilities belong together, all (rows, labels), and what counts as a vote."""

    probabilities: Callable[[Logits], Floats]
    """What a mean is taken of: of numbers, (rows,), they themselves."""
    logits: Callable[[Floats], Floats]
    votes: Callable[[Floats, Thresholds | None], Floats] | None
    """1 where a label is given, else 0; from probabilities and the member's own thresholds. None: nothing is voted
    on."""
    column: str = "logits"
    """Of the answers."""


def _one_vote(probabilities: Floats, thresholds: Thresholds | None) -> Floats:
    votes: Floats = np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)]
    return votes


def _log_odds(probabilities: Floats) -> Floats:
    p = np.clip(probabilities, _LEAST, _MOST)
    logits: Floats = np.log(p) - np.log1p(-p)
    return logits


SOFTMAX: Final = Combiner(
    probabilities=lambda logits: np.exp(log_softmax(finite(logits))),
    logits=lambda probabilities: np.log(np.maximum(probabilities, _LEAST)),
    votes=_one_vote,
)
"""One label a row."""
SIGMOID: Final = Combiner(
    probabilities=lambda logits: sigmoid(finite(logits)),
    logits=_log_odds,
    votes=lambda probabilities, thresholds: (probabilities >= np.array(thresholds)).astype(np.float64),
)
"""Any number of labels a row."""
LEVELS: Final = SIGMOID._replace(votes=None)
"""One level a row: the probabilities of being above each, which fall from level to level in their mean too."""
NUMBERS: Final = Combiner(probabilities=finite, logits=lambda numbers: numbers, votes=None, column="number")
"""One number a row."""
