"""What annotations say of the words or sentences of a text."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tunery.data.evidence import Span, evidence_of
from tunery.data.evidence_metrics import covered
from tunery.data.examples import Example
from tunery.data.metrics import Ints
from tunery.data.units import Bounds

Codes = npt.NDArray[np.int8]
"""Of each unit, (units, labels)."""

EVIDENCE: Final = 1
NOT_EVIDENCE: Final = 0
UNMARKED: Final = -1
"""Nobody marked it in a text with evidence, where not all evidence is marked."""
UNKNOWN: Final = -100
"""Nothing is known of it."""


def codes_of(example: Example, units: Bounds, labels: Sequence[str], *, is_partial: bool) -> Codes:
    """Args:
    is_partial: whether annotators marked some of the evidence. What is then unmarked, of a label that the text has,
        may be evidence; where none of the label's is marked, nothing is known.
    """
    evidence = evidence_of(example)
    codes = np.full((len(units), len(labels)), NOT_EVIDENCE, dtype=np.int8)
    for index, label in enumerate(labels):
        own, rejected = _characters(evidence.spans, label), _characters(evidence.rejected, label)
        if is_partial and label in example.labels:
            codes[:, index] = UNMARKED if len(own) else UNKNOWN
        codes[covered(units, rejected), index] = NOT_EVIDENCE
        codes[covered(units, own), index] = EVIDENCE
    return codes


def _characters(spans: Sequence[Span], label: str) -> Ints:
    """Begin and end of the spans of a label: (spans, 2)"""
    chosen = [span[:2] for span in spans if span.label == label]
    return np.array(chosen, dtype=np.int64).reshape(-1, 2)
