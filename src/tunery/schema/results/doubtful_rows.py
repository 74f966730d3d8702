"""What the models of a cross-validation say of the rows that they were not trained on."""

from typing import Self

from tunery.schema.results.record import Count, Record
from tunery.schema.results.worst_rows import Excerpt


class DoubtfulRow(Record):
    """A training row to look at."""

    id: str
    texts: tuple[Excerpt, ...] = ()
    """Text, or pair; empty where texts are left out."""
    given: tuple[str, ...]
    """Its labels, or its number."""
    suggested: tuple[str, ...] | None = None
    """What they probably should be; null: nothing is suggested."""
    given_probability: float | None = None
    """Null for numbers."""
    suggested_probability: float | None = None
    reasons: tuple[str, ...]


class DoubtfulRows(Record):
    """`doubts.json`: training rows whose labels are doubtful, that contradict others or say nothing."""

    rows: tuple[DoubtfulRow, ...]
    """Those that are worth most to look at, first."""
    total: Count
    """How many there are in all."""
    of: Count
    """Training rows."""
    findings: tuple[str, ...] = ()
    """What there is to say of all of them together."""

    @property
    def has_texts(self) -> bool:
        """Whether any row is here with its text."""
        return any(row.texts for row in self.rows)

    def without_texts(self) -> Self:
        """The same without the text of any row."""
        return self.model_copy(update={"rows": tuple(row.model_copy(update={"texts": ()}) for row in self.rows)})
