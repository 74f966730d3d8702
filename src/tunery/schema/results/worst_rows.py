"""The rows that a model answers worst, and some that are typical."""

from typing import Self

from pydantic import model_validator

from tunery.schema.results.record import Count, Record


class Excerpt(Record):
    """How a text begins, on one line."""

    text: str
    is_cut: bool
    """Whether the text goes on."""


class Passage(Record):
    """A part of a text, as it is."""

    start: Count
    """Its first character (code point) in the text, counted from 0."""
    text: str

    @property
    def end(self) -> int:
        """The first character after it."""
        return self.start + len(self.text)


class MarkedSpan(Record):
    """Characters of a text that are evidence of a label."""

    label: str
    start: Count
    end: Count
    """The first character after the span."""
    score: float | None = None
    """Of the model; null for evidence in the data."""


class Marks(Record):
    """The evidence of a row in the data and in the answer, and the parts of the text around it."""

    evidence: tuple[MarkedSpan, ...]
    """That of the data."""
    answer: tuple[MarkedSpan, ...]
    """That of the model, of the labels that it gives."""
    left_out: Count = 0
    """Spans that are not here because there are many."""
    passages: tuple[Passage, ...] = ()
    """Disjoint and ascending; none where texts are left out."""
    characters: Count
    """Of the whole text."""


class RowNumber(Record):
    """The number of a row, and that of the model with its interval."""

    right: float
    answer: float
    low: float | None = None
    high: float | None = None

    @property
    def is_inside(self) -> bool | None:
        """Whether the right number lies in the interval; None where there is none."""
        return None if self.low is None or self.high is None else self.low <= self.right <= self.high


class WorstRow(Record):
    """A row, and how it was answered."""

    id: str
    """`#n` for the n-th row of its split, from 0, where the data have no ids."""
    loss: float
    """Negative log probability of the label that is right; with several labels per row, the mean over all labels; with
    evidence, plus that of the evidence. Of a number the squared error, in standard deviations of the training rows; of
    language models the mean over the tokens of a text."""
    labels: tuple[str, ...]
    """Those that are right."""
    answer: tuple[str, ...]
    """Those that were given."""
    probabilities: dict[str, float]
    """Of each of these labels."""
    texts: tuple[Excerpt, ...] = ()
    """Its text, or both of a pair; none where texts are left out, or marked."""
    marks: Marks | None = None
    """null for tasks without evidence."""
    number: RowNumber | None = None
    """null for labels and levels."""
    tokens: Count | None = None
    """How many of its tokens were told (language models); null for other tasks."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bare := [label for label in (*self.labels, *self.answer) if label not in self.probabilities]:
            raise ValueError(f"{bare[0]!r} has no probability")
        return self

    @property
    def has_text(self) -> bool:
        """Whether anything of its text is here."""
        return bool(self.texts or (self.marks and self.marks.passages))

    def without_text(self) -> Self:
        """The same without its text."""
        marks = self.marks and self.marks.model_copy(update={"passages": ()})
        return self.model_copy(update={"texts": (), "marks": marks})


class WorstRows(Record):
    """`worst_rows.json`: the rows of a split that have the highest loss, highest first."""

    split: str
    total: Count
    """Rows of the split."""
    rows: tuple[WorstRow, ...]
    typical: tuple[WorstRow, ...] = ()
    """Of the other rows with evidence some at equal distances in the order of their loss, highest first."""

    @property
    def has_texts(self) -> bool:
        """Whether any row is here with its text."""
        return any(row.has_text for row in (*self.rows, *self.typical))

    def without_texts(self) -> Self:
        """The same without the text of any row."""
        rows, typical = ([row.without_text() for row in some] for some in (self.rows, self.typical))
        return self.model_copy(update={"rows": tuple(rows), "typical": tuple(typical)})
