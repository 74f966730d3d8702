"""Rows that are in the data more than once: inside a split, in two splits, almost, or with other labels."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from os.path import commonprefix

from tunery.data.checks.near_duplicates import MIN_WORDS, Words, similar_keys
from tunery.data.examples import Example, Split, Splits
from tunery.schema.results.finding import Finding

EXCERPT = 60
"""Longest piece of a text that a finding quotes, in characters."""
_READ = 10_000
"""Characters in which it is looked for."""
LEAD = 20
"""Characters quoted before the first difference of two texts."""
SHOWN = 3
"""Examples that a finding gives (a record holds at most 5)."""
SOME_CONFLICT, MOST_CONFLICT = 1 / 3, 1 / 2
"""Shares of rows whose text has other labels elsewhere, above which a second text is asked for, and that are fatal."""
MOST_WORDS = 20_000_000
"""Words up to which near-duplicates are looked for; more would take minutes and gigabytes."""

Text = tuple[str, str | None]
"""The text of a row, or both of its pair."""


@dataclass(frozen=True)
class IndexedSplit:
    """A split by its texts; blank ones are left out."""

    split: Split
    rows: Mapping[Text, Sequence[int]]
    """The rows with each text, from 0."""
    numbered: bool
    """Whether row numbers are those of the file."""

    @property
    def name(self) -> str:
        return self.split.name

    def labels(self, text: Text) -> set[frozenset[str]]:
        """The sets of labels that rows with a text have."""
        return {frozenset(self.split.examples[row].labels) for row in self.rows[text]}

    def first_row(self, text: Text) -> str:
        """The first row with a text, for people."""
        return f"{self.name} row {self.rows[text][0] + 1}" if self.numbered else self.name

    def all_rows(self, text: Text) -> str:
        """All rows with a text, for people."""
        if not self.numbered:
            return f"{self.name}, {len(self.rows[text])} times"
        return f"{self.name} rows {', '.join(str(row + 1) for row in self.rows[text][:SHOWN])}"


@dataclass(frozen=True)
class Overlap:
    """Texts of the latter split, with the text of the former split that each is equal or close to.

    Both are the same split where texts repeat inside it.
    """

    former: IndexedSplit
    latter: IndexedSplit
    texts: Mapping[Text, Text]

    @property
    def count(self) -> int:
        return sum(len(self.latter.rows[text]) for text in self.texts)

    @property
    def description(self) -> str:
        """Which splits, and how many rows of the latter, for people."""
        name, whole = self.latter.name, len(self.latter.split.examples)
        between = f"{self.former.name} and {name}" if self.former is not self.latter else name
        return f"{between} ({rows(self.count)}, {percent(self.count, whole)} of {name})"

    def longest(self) -> Iterator[tuple[Text, Text]]:
        """Pairs `(former text, latter text)`, those with most words first: they tell most."""
        by_length = sorted(self.texts, key=lambda text: -_word_count(text))
        return ((self.texts[text], text) for text in by_length)


def find_duplicates(splits: Splits, *, most_words: int = MOST_WORDS) -> Iterator[Finding]:
    """Every finding about rows that are there more than once.

    Args:
        most_words: words of all different texts up to which near-duplicates are looked for; 0: they are not.
    """
    indexed = [_indexed(split, numbered=is_numbered(split, splits)) for split in splits]
    yield from _shared(indexed)
    yield from _conflicting(indexed)
    yield from _repeated(indexed)
    if most_words:
        yield from _near_duplicates(indexed, most_words)
    yield from _shared_ids(splits)


def quote(text: str, *, start: int = 0) -> str:
    """At most 60 characters of a text from `start` on, on one line."""
    line = ("…" if start else "") + " ".join(text[start : start + _READ].split())
    return f'"{line if len(line) <= EXCERPT else line[: EXCERPT - 1] + "…"}"'


def percent(part: int, whole: int) -> str:
    """A share as people write it: `1.5 %`."""
    share = 100 * part / whole
    return "<0.1 %" if 0 < share < 0.1 else f"{share:.1f} %" if share < 10 else f"{share:.0f} %"


def rows(count: int) -> str:
    """`1 row`, `1,200 rows`."""
    return f"{count:,} row{'' if count == 1 else 's'}"


def is_numbered(split: Split, splits: Splits) -> bool:
    """Whether the rows of a split are all rows of its file: false where some of them were split off."""
    return not split.is_split_off and not (split is splits.train and any(one.is_split_off for one in splits))


def _indexed(split: Split, *, numbered: bool) -> IndexedSplit:
    rows_of: dict[Text, list[int]] = defaultdict(list)
    for row, example in enumerate(split.examples):
        if example.text.strip():
            rows_of[example.text, example.text_pair].append(row)
    return IndexedSplit(split, dict(rows_of), numbered)


def _word_count(text: Text) -> int:
    """Words of both texts, as spaces separate them."""
    return sum(len(part.split()) for part in text if part)


def _shared(indexed: Sequence[IndexedSplit]) -> Iterator[Finding]:
    overlaps = [
        Overlap(former, latter, equal)
        for former, latter in combinations(indexed, 2)
        if (equal := {text: text for text in latter.rows if text in former.rows})
    ]
    if not overlaps:
        return
    short = sum(len(o.latter.rows[t]) for o in overlaps for t in o.texts if _word_count(t) < MIN_WORDS)
    other = sum(len(o.latter.rows[t]) for o in overlaps for t in o.texts if o.latter.labels(t) != o.former.labels(t))
    details = []
    if short:
        details.append(f"under {MIN_WORDS} words: {short:,}")
    if other:
        details.append(f"with other labels in the other split: {other:,}")
    yield Finding(
        level="fatal",
        code="shared_rows",
        split=_only(overlap.latter.name for overlap in overlaps),
        count=sum(overlap.count for overlap in overlaps),
        message="a text may be in one split only, but the same texts are in "
        f"{', '.join(overlap.description for overlap in overlaps)}{'; of these, ' if details else ''}"
        f"{', '.join(details)}. A score on duplicates of training rows rewards learning by heart: remove them from the "
        "split named first",
        examples=_examples(
            f"{overlap.former.first_row(text)} = {overlap.latter.first_row(text)}: {quote(text[0])}"
            for overlap in overlaps
            for text, _ in islice(overlap.longest(), SHOWN)
        ),
    )


def _conflicting(indexed: Sequence[IndexedSplit]) -> Iterator[Finding]:
    overlaps = [
        Overlap(split, split, conflicts)
        for split in indexed
        if (
            conflicts := {
                text: text for text, numbers in split.rows.items() if len(numbers) > 1 < len(split.labels(text))
            }
        )
    ]
    if not overlaps:
        return
    share = max(overlap.count / len(overlap.latter.split.examples) for overlap in overlaps)
    second = (
        " Is there a second text column? Name it as data.text_pair, or both as data.text"
        if share > SOME_CONFLICT
        else ""
    )
    yield Finding(
        level="fatal" if share >= MOST_CONFLICT else "warning",
        code="conflicting_labels",
        split=_only(overlap.latter.name for overlap in overlaps),
        count=sum(overlap.count for overlap in overlaps),
        message="the same text should have the same labels, but texts have different ones inside "
        f"{', '.join(overlap.description for overlap in overlaps)}. No model can get all of them right: decide "
        f"which labels are right and remove the other rows{'.' if second else ''}{second}",
        examples=_examples(
            f"{overlap.latter.all_rows(text)}: {quote(text[0])} is "
            + " and ".join(
                " + ".join(labels) or "without label" for labels in sorted(map(sorted, overlap.latter.labels(text)))
            )
            for overlap in overlaps
            for text in overlap.texts
        ),
    )


def _repeated(indexed: Sequence[IndexedSplit]) -> Iterator[Finding]:
    repeats = [
        (split, text)
        for split in indexed
        for text, numbers in split.rows.items()
        if len(numbers) > 1 and len(split.labels(text)) == 1
    ]
    if not repeats:
        return
    superfluous: dict[str, int] = defaultdict(int)
    for split, text in repeats:
        superfluous[split.name] += len(split.rows[text]) - 1
    sizes = {split.name: len(split.split.examples) for split in indexed}
    shares = [f"{rows(count)} of {name} ({percent(count, sizes[name])})" for name, count in superfluous.items()]
    yield Finding(
        level="warning",
        code="duplicates",
        split=_only(superfluous),
        count=sum(superfluous.values()),
        message=f"a text should be in a split once, but these repeat an earlier row, labels and all: "
        f"{', '.join(shares)}. They count more than once; remove them unless that weight is meant",
        examples=_examples(f"{split.all_rows(text)}: {quote(text[0])}" for split, text in repeats),
    )


def _near_duplicates(indexed: Sequence[IndexedSplit], most_words: int) -> Iterator[Finding]:
    total = sum(_word_count(text) for split in indexed for text in split.rows)
    if total > most_words:
        message = f"near-duplicates were not looked for: {total:,} words are more than {most_words:,}"
        yield Finding(level="info", code="near_duplicates", message=message)
        return
    words = Words()
    key_of = {text: words.key(Example(*text)) for split in indexed for text in split.rows}
    keys = list(dict.fromkeys(key_of.values()))
    similar = similar_keys(keys)
    for word, pairs, remedy in (
        (
            "between",
            combinations(indexed, 2),
            "The scores may be too good: remove those that are duplicates from the split named first",
        ),
        (
            "inside",
            zip(indexed, indexed, strict=True),
            "They teach little that is new; keep them only if that weight is meant",
        ),
    ):
        overlaps = [overlap for former, latter in pairs if (overlap := _close(former, latter, key_of, similar)).texts]
        if overlaps:
            yield Finding(
                level="warning",
                code="near_duplicates",
                split=_only(overlap.latter.name for overlap in overlaps),
                count=sum(overlap.count for overlap in overlaps),
                message="rows should differ by more than case, punctuation or a few words, but there are "
                f"near-duplicates {word} {', '.join(overlap.description for overlap in overlaps)}. {remedy}",
                examples=_examples(
                    f"{overlap.former.first_row(one)} ~ {overlap.latter.first_row(text)}: {_difference(one, text)}"
                    for overlap in overlaps
                    for one, text in islice(overlap.longest(), SHOWN)
                ),
            )


def _close(
    former: IndexedSplit, latter: IndexedSplit, key_of: Mapping[Text, bytes], similar: Mapping[bytes, set[bytes]]
) -> Overlap:
    """Texts of the latter with the first text of the former that is similar and not equal; inside one split, with an
    earlier one. Texts that both splits have are left out."""
    texts: dict[bytes, list[Text]] = defaultdict(list)
    for text in former.rows:
        texts[key_of[text]].append(text)
    pairs = {}
    for text in latter.rows:
        if former is not latter and text in former.rows:
            continue
        near = [one for similar_key in similar[key_of[text]] for one in texts.get(similar_key, ()) if one != text]
        if former is latter:
            near = [one for one in near if former.rows[one][0] < former.rows[text][0]]
        if near:
            pairs[text] = min(near, key=lambda one: former.rows[one][0])
    return Overlap(former, latter, pairs)


def _difference(one: Text, other: Text) -> str:
    """Both texts, from shortly before their first difference."""
    side = int(one[0] == other[0] and one[1] is not None)
    left, right = str(one[side]), str(other[side])
    start = len(commonprefix([left, right])) - LEAD
    start = start if min(len(left), len(right)) > EXCERPT and start > 0 else 0
    return f"{quote(left, start=start)} ~ {quote(right, start=start)}"


def _shared_ids(splits: Splits) -> Iterator[Finding]:
    texts = {split.name: {e.id: e.text for e in split.examples if e.id is not None} for split in splits}
    counts = {
        (first, second): sum(key in texts[first] and texts[first][key] != text for key, text in texts[second].items())
        for first, second in combinations(texts, 2)
    }
    shared = {pair: count for pair, count in counts.items() if count}
    if shared:
        pairs = ", ".join(f"{first} and {second} share {count:,}" for (first, second), count in shared.items())
        names = {name for pair in shared for name in pair}
        several_files = any(is_numbered(split, splits) for split in splits if split.name in names)
        cause = "ids seem to be counted per split" if several_files else "in their file, one id has several texts"
        yield Finding(
            level="info",
            code="shared_ids",
            count=sum(shared.values()),
            message=f"the same id is that of different texts in different splits ({pairs}): {cause}, so do "
            "not join predictions by id",
        )


def _only(names: Iterable[str]) -> str | None:
    """The one split a finding is about; none where it is about several."""
    different = set(names)
    return different.pop() if len(different) == 1 else None


def _examples(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(lines, SHOWN))
