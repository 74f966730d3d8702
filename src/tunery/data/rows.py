"""Rows with their meaning: what every other file of this room passes around."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Example:
    """One row: its text or pair, and the names of its labels (empty where unlabelled)."""

    text: str
    text_pair: str | None = None
    labels: tuple[str, ...] = ()
    id: str | None = None
    group: str | None = None

    def name(self, place: int) -> str:
        """Its id; without one `#n`, where the row is the n-th of its split, from 0."""
        return self.id or f"#{place}"


@dataclass(frozen=True)
class Split:
    """One split, in the order of its source."""

    name: str
    examples: tuple[Example, ...]
    source: str
    digest: str


@dataclass(frozen=True)
class Splits:
    """The three splits of a data set."""

    train: Split
    validation: Split
    test: Split
    notes: tuple[str, ...] = field(default=())

    def __iter__(self) -> Any:
        return iter((self.train, self.validation, self.test))
