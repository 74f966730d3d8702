"""What a model says of one text."""

from collections.abc import Iterable
from typing import Any

from tunery.schema.results.record import Record


class EvidenceSpan(Record):
    """Characters of a text that are evidence of a label."""

    label: str
    start: int
    """First character (code point), counted from 0."""
    end: int
    """First character after the span."""
    text: str
    score: float
    """Probability of the word or sentence in it that is likeliest to be evidence."""


class MaskToken(Record):
    """A token that may stand in place of a mask."""

    token: str
    """As the tokenizer writes it alone: with a space or `##` before it where it has that."""
    probability: float
    """Among all tokens of the vocabulary."""


class Prediction(Record):
    """The model's answer for one row."""

    label: str | None
    """The label (classification); null where its probability is below a threshold, where the model abstains, and for
    multilabel."""
    labels: tuple[str, ...]
    """All labels given: at most one for classification, any number for multilabel."""
    confidence: float | None = None
    """Probability of the label that is told, else of the most probable one (classification); for multilabel, that of
    the least certain of all decisions to give or not to give a label; of the level (ordinal regression); null for other
    numbers. Of language models the geometric mean of the probabilities of the tokens: of the text, of what was written,
    or of the likeliest in place of each mask."""
    probabilities: dict[str, float] = {}
    """Probability per label; sums to 1 for classification and for levels; empty for other numbers."""
    abstained: bool = False
    """Whether its confidence is below what was asked for (`abstain_below`), so that it gives no label."""
    evidence: tuple[EvidenceSpan, ...] = ()
    """Of each label that is given; empty for tasks without evidence."""
    scores: dict[str, int | float | None] = {}
    """Numbers about the text, by name, of tasks that give no labels: `perplexity`, null where there is no token, and
    `tokens`."""
    masks: tuple[tuple[MaskToken, ...], ...] = ()
    """For each mask token of the text the likeliest tokens in its place, the likeliest first (mlm); the masks are told
    each by itself. Empty for a text without, which has `scores` instead."""
    text: str | None = None
    """What a language model wrote; null where nothing was asked to be written."""
    value: float | None = None
    """The number (regression), in the units of the data; null for labels."""
    low: float | None = None
    """The least number of its interval; null where there is none."""
    high: float | None = None
    """The greatest."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        if self.value is None:
            yield from [("labels", self.labels)] if self.label is None else [("label", self.label)]
        numbers = (("value", self.value), ("low", self.low), ("high", self.high))
        yield from ((key, float(f"{number:.6g}")) for key, number in numbers if number is not None)
        if self.masks:
            yield "masks", [mask[0].token for mask in self.masks]
        if self.confidence is not None:
            yield "confidence", round(self.confidence, 6)
