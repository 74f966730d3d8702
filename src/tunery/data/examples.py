"""Rows with their meaning: what every other file of this room passes around."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tunery.schema.config.data import Documents

JOINT: Final = "\x1e"
"""Between the texts of several columns that are one text for the model. It counts as white space wherever texts are
compared, counted or quoted; `encode` puts the separator of the tokenizer there."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is to be learned from a row."""

    labels: tuple[str, ...] = ()
    """Names of its labels."""
    target: Any = None
    """What else its task learns, as JSON has it or as a dataclass; the task alone reads it."""
    text: str | None = None
    """Its text, where the column of texts is not read."""
    number: float | None = None
    """Its number, where that is what is learned."""


@dataclass(frozen=True)
class RowReader:
    """How the annotation of a row is read."""

    columns: tuple[tuple[str, str], ...]
    """Pairs of config key and column, for every column that must be there."""
    read: Callable[[dict[str, Any]], Annotation]
    """Raises `BadCell`."""
    has_text: bool = False
    """Whether the annotation has the text, so that the column of texts is not read."""
    documents: Documents | None = None
    """What is one text in a file of plain text; None: such a file is a table, or a text in each line."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row: its text or pair, and its annotation (empty where there is none).

    Where several columns are its text, `JOINT` is between them.
    """

    text: str
    text_pair: str | None = None
    labels: tuple[str, ...] = ()
    id: str | None = None
    group: str | None = None
    target: Any = None
    number: float | None = None

    def name(self, row: int) -> str:
        """Its id; without one `#n`, where it is row n of its split, from 0."""
        return self.id or f"#{row}"


@dataclass(frozen=True)
class Split:
    """One split, in the order of its source."""

    name: str
    examples: tuple[Example, ...]
    source: str
    digest: str
    is_split_off: bool = False
    """Whether its rows are some of the training rows, since the config names none for it."""


@dataclass(frozen=True)
class Splits:
    """The three splits of a data set."""

    train: Split
    validation: Split
    test: Split
    notes: tuple[str, ...] = field(default=())
    pool: tuple[Example, ...] = ()
    """The rows that folds of cross-validation are of, in the order of their file."""
    in_pool: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Of one fold, by split: the numbers of its rows in the pool; a split of other rows is missing."""

    def __iter__(self) -> Any:
        return iter((self.train, self.validation, self.test))
