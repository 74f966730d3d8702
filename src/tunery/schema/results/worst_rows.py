"""The rows that a model answers worst."""

from typing import Self

from pydantic import model_validator

from tunery.schema.results.record import Count, Record


class Excerpt(Record):
    """How a text begins, on one line."""

    text: str
    is_cut: bool
    """Whether the text goes on."""


class WorstRow(Record):
    """A labelled row, and how it was answered."""

    id: str
    """`#n` for the n-th row of its split, from 0, where the data have no ids."""
    loss: float
    """Negative log probability of the label that is right; with several labels per row, the mean over all labels."""
    labels: tuple[str, ...]
    """Those that are right."""
    answer: tuple[str, ...]
    """Those that were given."""
    probabilities: dict[str, float]
    """Of each of these labels."""
    texts: tuple[Excerpt, ...] = ()
    """Its text, or both of a pair; none where texts are left out."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bare := [label for label in (*self.labels, *self.answer) if label not in self.probabilities]:
            raise ValueError(f"{bare[0]!r} has no probability")
        return self


class WorstRows(Record):
    """`worst_rows.json`: the rows of a split that have the highest loss, highest first."""

    split: str
    total: Count
    """Rows of the split."""
    rows: tuple[WorstRow, ...]

    @property
    def has_texts(self) -> bool:
        """Whether any row is here with its text."""
        return any(row.texts for row in self.rows)

    def without_texts(self) -> Self:
        """The same without the text of any row."""
        return self.model_copy(update={"rows": tuple(row.model_copy(update={"texts": ()}) for row in self.rows)})
