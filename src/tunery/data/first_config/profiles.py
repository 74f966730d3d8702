"""What the columns of an unknown file look like, and which part each could play."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from tunery.data.lengths import Length, length_of
from tunery.data.reading.cells import BadCell, as_flag, is_listed, names_of, text_of

TEXT_NAMES: Final = ("text", "sentence", "content", "review", "comment", "body", "post", "message", "tweet", "document")
PAIRS: Final = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("question", "answer"),
    ("question", "sentence"),
    ("query", "passage"),
    ("query", "document"),
    ("text_a", "text_b"),
    ("text1", "text2"),
    ("text", "text_pair"),
)
LABEL_NAMES: Final = (
    *("label", "labels", "class", "category", "target", "sentiment", "intent", "topic", "emotion", "emotions"),
    *("tags", "categories", "classes", "topics", "genres", "genre", "polarity", "stance", "rating", "y"),
)
SEPARATORS: Final = ("|", ";", ",")
MOST_CLASSES: Final = 1000
MOST_LABEL_WORDS: Final = 8
_ID = re.compile(r"^(id|idx|index|uid|guid|uuid|unnamed: 0|.*[_-]id|row)$", re.IGNORECASE)
_GROUP = re.compile(
    r"^(group|author|user|patient|subject|speaker|document|doc|thread|conversation|session|source|post)"
    r"([_-]?(id|name))?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, eq=False)
class Profile:
    """One column with all its values; blank cells are None."""

    name: str
    values: Sequence[Any]
    problem: str | None = None
    """What is wrong with the lists in its cells."""

    @cached_property
    def filled(self) -> list[Any]:
        """The values that are there."""
        return [value for value in self.values if value is not None]

    @cached_property
    def is_text(self) -> bool:
        """Strings only."""
        return bool(self.filled) and all(isinstance(value, str) for value in self.filled)

    @cached_property
    def is_list(self) -> bool:
        """Lists of names; lists of offsets or of records are none."""
        if self.problem or not all(isinstance(value, list | tuple) for value in self.filled):
            return False
        return any(self.filled) and all(isinstance(i, str) or _whole(i) for v in self.filled for i in v)

    @cached_property
    def is_binary(self) -> bool:
        """Nothing but zeros and ones, or no and yes, or false and true."""
        return bool(self.counts) and all(as_flag(value) is not None for value in self.counts)

    @property
    def is_flag(self) -> bool:
        """Binary, with both values and no blank."""
        return len(self.filled) == len(self.values) and {as_flag(value) for value in self.counts} == {False, True}

    @property
    def ones(self) -> int:
        """How often a binary column says yes."""
        return sum(count for value, count in self.counts.items() if as_flag(value))

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each value stands there, by its text; empty where the values are no scalars."""
        scalars = [text_of(value).strip() for value in self.filled if isinstance(value, str) or _whole(value)]
        return Counter(scalars if len(scalars) == len(self.filled) else ())

    @cached_property
    def names(self) -> Counter[str]:
        """How often each name stands in the lists."""
        return Counter(text_of(item).strip() for value in self.filled for item in value)

    @cached_property
    def words(self) -> float:
        """Words per value, on average."""
        return sum(len(str(value).split()) for value in self.filled) / max(1, len(self.filled))

    @cached_property
    def average(self) -> Length:
        """How long a value is."""
        lengths = [length_of(str(value)) for value in self.filled]
        words, characters = (round(sum(counts) / len(lengths)) for counts in zip(*lengths, strict=True))
        return Length(words, characters)

    @cached_property
    def weight(self) -> float:
        """How much text there is: characters per value, times the share of values that are different."""
        characters = sum(map(len, self.filled)) / len(self.filled)
        return characters * len(set(self.filled)) / len(self.filled)

    @cached_property
    def separator(self) -> str | None:
        """What separates several names in one cell, if the same few names are combined in many ways."""
        for separator in SEPARATORS if self.is_text and not self.problem else ():
            combined = {value for value in self.counts if separator in value}
            pieces = Counter(piece.strip() for value in self.counts for piece in value.split(separator))
            again = sum(pieces[piece.strip()] > 1 for value in combined for piece in value.split(separator))
            if again > len(combined) and len(pieces) < len(self.counts) and _few(len(pieces), len(self.filled)):
                return separator
        return None

    @property
    def is_classes(self) -> bool:
        """Few different values, each of them often enough to be learned."""
        different = len(self.counts)
        enough = _few(different, len(self.filled)) or (self.is_usual and 2 * different <= len(self.filled))
        return different >= 2 and enough and self.words < MOST_LABEL_WORDS

    @property
    def is_usual(self) -> bool:
        """Named as label columns usually are."""
        return self.name.lower() in LABEL_NAMES

    @property
    def is_several(self) -> bool:
        """Whether a cell holds several labels."""
        return self.is_list or self.separator is not None

    @property
    def is_label(self) -> bool:
        """Whether it could be a label, or hold several."""
        lists = self.is_list and _few(len(self.names), len(self.filled))
        return not self.problem and (lists or self.is_classes or self.separator is not None)

    def describe(self) -> str:
        """One line for people."""
        if not self.filled:
            return f"{self.name}: empty"
        if self.problem:
            return f"{self.name}: lists; a cell of them {self.problem}"
        if self.is_flag:
            return f"{self.name}: {' and '.join(sorted(self.counts))}"
        if self.counts:
            kind = f"text, {self.average} on average" if self.is_text and self.average.tokens > 2 else "short values"
            return f"{self.name}: {kind}, {len(self.counts):,} different in {len(self.filled):,} rows"
        if self.is_list:
            return f"{self.name}: lists, {len(self.names):,} different names in {len(self.filled):,} rows"
        return f"{self.name}: values of type {type(self.filled[0]).__name__}, neither text nor whole numbers"


def profiles(table: Sequence[Mapping[str, Any]]) -> dict[str, Profile]:
    """The columns of a table, in the order in which they first appear."""
    names = dict.fromkeys(name for row in table for name in row)
    return {name: _profile(name, [row.get(name) for row in table]) for name in names}


def is_id(column: Profile) -> bool:
    """Named like an identifier, and different in nearly every row."""
    return bool(_ID.match(column.name)) and len(column.counts) > 0.9 * len(column.values)


def is_group(column: Profile) -> bool:
    """Named like an author or a document, and shared by rows."""
    return bool(_GROUP.match(column.name)) and 1 < len(column.counts) < 0.9 * len(column.values)


def _few(names: int, rows: int) -> bool:
    return names <= min(MOST_CLASSES, max(2, rows // 4))


def _whole(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def _profile(name: str, cells: list[Any]) -> Profile:
    """A csv has lists as strings; a column where every cell is such a list is read as lists."""
    blank = [(isinstance(c, str) and not c.strip()) or (isinstance(c, float) and c != c) for c in cells]
    values = [None if is_blank else cell for cell, is_blank in zip(cells, blank, strict=True)]
    if not all(value is None or is_listed(value) for value in values):
        return Profile(name, values)
    try:
        return Profile(name, [None if value is None else list(names_of(value, separator="|")) for value in values])
    except BadCell as problem:
        return Profile(name, values, problem=str(problem))
