"""What `tunery curve` says."""

from tunery.schema.results.direction import Direction
from tunery.schema.results.record import Count, Record


class CurvePoint(Record):
    """The score at one number of training rows, as it was measured."""

    rows: Count
    """That a model was fitted to."""
    score: float
    low: float
    """95 % interval."""
    high: float


class CurvePrediction(CurvePoint):
    """The score that more rows would give."""

    says_something: bool
    """Whether the interval is narrow enough to decide by."""


class ClassGain(Record):
    """A label whose F1 would rise with twice the rows."""

    label: str
    f1: float
    """With all rows, out of fold."""
    gain: float
    """By twice the rows."""
    low: float
    """95 % interval of the gain."""
    high: float


class LearningCurve(Record):
    """Scores at growing numbers of rows, and what they predict."""

    method: str
    """`probe` or `tfidf`; or the method of the config, where parts of the rows were trained on."""
    held_out: Count | None = None
    """Folds whose rows scores are of; null: all."""
    described: str
    """The model, in words."""
    objective: str
    direction: Direction
    points: tuple[CurvePoint, ...]
    """Ascending; out of fold, never of test."""
    predictions: tuple[CurvePrediction, ...]
    """At once, twice and four times the training rows."""
    rises: bool
    """Whether the score gets better from the fewest rows to the most by more than its uncertainty."""
    fits: bool
    """Whether a power law is as near to the scores as chance allows."""
    gains: tuple[ClassGain, ...]
    """Largest first; empty where none is certain."""
