"""What the columns of an unknown file look like, and what each could be used for."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from tunery.data.lengths import Length, length_of
from tunery.data.reading.cells import BadCell, as_flag, is_listed, is_score, names_of, text_of
from tunery.data.reading.numbers import number_of
from tunery.data.reading.split_files import split_named

TEXT_NAMES: Final = ("text", "sentence", "content", "review", "comment", "body", "post", "message", "tweet", "document")
PAIRS: Final = (
    ("premise", "hypothesis"),
    ("question", "answer"),
    ("question", "sentence"),
    ("query", "passage"),
    ("query", "document"),
    ("text", "text_pair"),
)
"""Names of two texts that are compared, besides those that differ by a digit or letter."""
LABEL_NAMES: Final = (
    *("label", "labels", "class", "category", "target", "sentiment", "intent", "topic", "emotion", "emotions"),
    *("tags", "categories", "classes", "topics", "genres", "genre", "polarity", "stance", "rating", "y"),
)
_LABEL_WORDS: Final = frozenset(
    (*(name for name in LABEL_NAMES if name != "y"), "gold", "similar", "same", "duplicate", "verdict", "judgment")
)
"""Words with which the name of a column of labels begins or ends."""
_GRADE_WORDS: Final = frozenset(("rating", "ratings", "star", "stars", "score", "grade", "level", "severity", "points"))
_SPLIT_COLUMN: Final = re.compile(
    r"split|set|partition|subset|fold|(data|dataset|train_test|tvt)[_ -]?(split|set)", re.IGNORECASE
)
_PAIR_MARKS: Final = tuple(
    (re.compile(form.format(first), flags), re.compile(form.format(second), flags))
    for form, flags, marks in (
        (r"(?<!\d){}(?!\d)", re.NOFLAG, (("1", "2"), ("0", "1"))),
        (r"(?<![^\W_]){}(?![^\W_])", re.IGNORECASE, (("a", "b"),)),
        (r"(?<=[a-z]){}(?![^\W_])", re.NOFLAG, (("A", "B"),)),
    )
    for first, second in marks
)
SEPARATORS: Final = ("|", ";", ",")
MOST_CLASSES: Final = 1000
MOST_LEVELS: Final = 10
"""Different numbers up to which those of a column that is named after grades are levels."""
MOST_LABEL_WORDS: Final = 8
_READ: Final = 100_000
"""Characters of a cell that are looked at."""
_LOOKED_AT: Final = 20_000
"""Values that are looked at where all of them would take long."""
_ID = re.compile(r"^(id|idx|index|uid|guid|uuid|unnamed: 0|column_\d+|.*[_-]id|row)$", re.IGNORECASE)
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
    def some(self) -> list[Any]:
        """Of the values that are there, as many as can be looked at closely, from everywhere."""
        return self.filled[:: max(1, len(self.filled) // _LOOKED_AT)]

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
        """Binary, with both values; a blank says no."""
        return {as_flag(value) for value in self.counts} == {False, True}

    @cached_property
    def is_score(self) -> bool:
        """Numbers, some of which have a fraction, whatever the format."""
        return is_score(text_of(value).strip() for value in self.filled if not isinstance(value, list | tuple | dict))

    @cached_property
    def numbers(self) -> Sequence[float]:
        """The numbers in it, where nothing else is and some differ; else none."""
        try:
            found = [number_of(value) for value in self.filled]
        except BadCell:
            return ()
        numbers = [number for number in found if number is not None]
        return numbers if len(set(numbers)) > 1 else ()

    @cached_property
    def strays(self) -> Sequence[str]:
        """The few cells that are no numbers, where at least nine of ten are, some with a fraction; else none."""
        looked_at = [_number_or_none(value) for value in self.some]
        fractions = any(number is not None and not number.is_integer() for number in looked_at)
        if not fractions or looked_at.count(None) > len(looked_at) / 10:
            return ()
        return [text_of(value) for value in self.filled if _number_or_none(value) is None]

    @property
    def is_continuous(self) -> bool:
        """Numbers, some of which have a fraction."""
        return not all(number.is_integer() for number in self.numbers)

    @property
    def is_graded(self) -> bool:
        """More than two different numbers in a column that is named after grades or stars."""
        return bool(set(name_words(self.name)) & _GRADE_WORDS) and len(set(self.numbers)) > 2

    @property
    def is_levels(self) -> bool:
        """Few whole numbers in such a column."""
        return self.is_graded and not self.is_continuous and len(set(self.numbers)) <= MOST_LEVELS

    @property
    def ones(self) -> int:
        """How often a binary column says yes."""
        return sum(count for value, count in self.counts.items() if as_flag(value))

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each value occurs, by its text; empty where the values are no scalars."""
        if not all(isinstance(value, str) or _whole(value) for value in self.filled):
            return Counter()
        return Counter(text_of(value).strip() for value in self.filled)

    @cached_property
    def is_varied(self) -> bool:
        """More different values than a column of labels has."""
        return len(self.some) > 4 * MOST_CLASSES and len({str(value) for value in self.some}) > 2 * MOST_CLASSES

    @cached_property
    def is_nearly_unique(self) -> bool:
        """Different in nearly every row."""
        return len({str(value) for value in self.filled}) > 0.9 * len(self.values)

    @cached_property
    def names(self) -> Counter[str]:
        """How often each name occurs in the lists."""
        return Counter(text_of(item).strip() for value in self.filled for item in value)

    @cached_property
    def words(self) -> float:
        """Words per value, on average."""
        return sum(len(_beginning(value).split()) for value in self.some) / max(1, len(self.some))

    @cached_property
    def average(self) -> Length:
        """How long a value is."""
        lengths = [length_of(_beginning(value)) for value in self.some]
        words, characters = (round(sum(counts) / len(lengths)) for counts in zip(*lengths, strict=True))
        return Length(words, characters)

    @cached_property
    def weight(self) -> float:
        """How much text there is: characters per value, times the share of values that are different."""
        characters = sum(map(len, self.some)) / len(self.some)
        return characters * len(set(self.some)) / len(self.some)

    @cached_property
    def separator(self) -> str | None:
        """What separates several names in one cell, if the same few names are combined in many ways."""
        for separator in SEPARATORS if self.is_text and not self.problem and not self.is_long else ():
            combined = {value for value in self.counts if separator in value}
            pieces = Counter(piece.strip() for value in self.counts for piece in value.split(separator))
            again = sum(pieces[piece.strip()] > 1 for value in combined for piece in value.split(separator))
            if again > len(combined) and len(pieces) < len(self.counts) and _few(len(pieces), len(self.filled)):
                return separator
        return None

    @cached_property
    def is_long(self) -> bool:
        """Texts, as far as can be told without counting all of them."""
        return self.is_long_text and self.is_varied

    @property
    def is_long_text(self) -> bool:
        """Texts of as many words as labels do not have."""
        return self.is_text and self.words >= MOST_LABEL_WORDS

    @property
    def is_classes(self) -> bool:
        """Few different values, each of them often enough to be learned, and no scores."""
        if self.is_long or (self.is_varied and not self.is_usual) or self.is_score:
            return False
        different = len(self.counts)
        enough = _few(different, len(self.filled)) or (self.is_usual and 2 * different <= len(self.filled))
        return different >= 2 and enough and self.words < MOST_LABEL_WORDS

    @property
    def is_usual(self) -> bool:
        """Named as label columns usually are."""
        return self.name.lower() in LABEL_NAMES

    @property
    def sounds_like_label(self) -> bool:
        """Named with a usual word at the begin or end, complete, with few different values."""
        words = name_words(self.name)
        named = words and (words[0] in _LABEL_WORDS or words[-1] in _LABEL_WORDS)
        return bool(named) and len(self.filled) == len(self.values) and self.is_classes

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
        if self.is_continuous:
            return f"{self.name}: scores from {min(self.numbers):g} to {max(self.numbers):g}"
        if self.is_long:
            return f"{self.name}: text, {self.average} on average"
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
    return bool(_ID.match(column.name)) and column.is_nearly_unique


def is_split(column: Profile) -> bool:
    """Named like a split, with names of splits, train among them, and nothing else."""
    if not _SPLIT_COLUMN.fullmatch(column.name) or len(column.filled) < len(column.values) or column.is_long:
        return False
    roles = {split_named(value) for value in column.counts}
    return "train" in roles and len(roles) > 1 and None not in roles


def name_words(name: str) -> list[str]:
    """The words of the name of a column, in lower case: `correctLabel` and `correct_label` have the same."""
    return [word.lower() for word in re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name))]


def are_pair(one: str, other: str) -> bool:
    """Whether names differ by a digit or letter that numbers two texts of one kind: `q1` and `q2`."""
    return any(
        first.sub("\0", one, count=1) == second.sub("\0", other, count=1) != other for first, second in _PAIR_MARKS
    )


def _number_or_none(cell: Any) -> float | None:
    try:
        return number_of(cell)
    except BadCell:
        return None


def is_group(column: Profile) -> bool:
    """Named like an author or a document, and shared by rows."""
    return bool(_GROUP.match(column.name)) and 1 < len(column.counts) < 0.9 * len(column.values)


def _few(names: int, rows: int) -> bool:
    return names <= min(MOST_CLASSES, max(2, rows // 4))


def _beginning(value: Any) -> str:
    """What tells how long a value is: nothing reads more of it."""
    return str(value)[:_READ]


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
