"""What a model says of one text."""

from collections.abc import Iterable
from typing import Any

from tunery.schema.results.record import Record


class Prediction(Record):
    """The model's answer for one row."""

    label: str | None
    """The label (classification); null where its probability is below a threshold, and for multilabel."""
    labels: tuple[str, ...]
    """All labels given: at most one for classification, any number for multilabel."""
    confidence: float
    """Probability of the most probable label (classification); for multilabel, that of the least certain of all
    decisions to give or not to give a label."""
    probabilities: dict[str, float]
    """Probability per label; sums to 1 for classification."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield from [("labels", self.labels)] if self.label is None else [("label", self.label)]
        yield "confidence", round(self.confidence, 6)
