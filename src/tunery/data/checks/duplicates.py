"""Rows that stand in the data more than once: inside a split, in two splits, almost, or under two labels."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from os.path import commonprefix

from tunery.data.checks.near_duplicates import MIN_WORDS, Words, similar_pairs, word_count
from tunery.data.examples import Split, Splits
from tunery.schema.results.finding import Finding

EXCERPT = 60
"""Longest piece of a text that a finding quotes, in characters."""
LEAD = 20
"""Characters quoted before the first difference of two texts."""
SHOWN = 3
"""Examples that a finding gives (a record holds at most 5)."""
MOST_WORDS = 20_000_000
"""Words up to which near-duplicates are looked for; more would take minutes and gigabytes."""

Text = tuple[str, str | None]


@dataclass(frozen=True)
class Index:
    """A split by content; rows are counted from 0, texts that are blank are left out."""

    split: Split
    rows: Mapping[Text, Sequence[int]]
    """Where each text stands."""
    keys: Mapping[Text, bytes]
    """Each text as word numbers."""
    numbered: bool
    """Whether row numbers are those of the file."""

    @property
    def name(self) -> str:
        return self.split.name

    def labels(self, text: Text) -> set[frozenset[str]]:
        """The label sets under which a text stands here."""
        return {frozenset(self.split.examples[row].labels) for row in self.rows[text]}

    def first(self, text: Text) -> str:
        """Where a text stands first, for people."""
        return f"{self.name} row {self.rows[text][0] + 1}" if self.numbered else self.name

    def everywhere(self, text: Text) -> str:
        """Where a text stands, for people."""
        if not self.numbered:
            return f"{self.name}, {len(self.rows[text])} times"
        return f"{self.name} rows {', '.join(str(row + 1) for row in self.rows[text][:SHOWN])}"

    def share(self, count: int) -> str:
        """A count against the rows of the split, for people."""
        return f"{rows(count)}, {percent(count, len(self.split.examples))}"


@dataclass(frozen=True)
class Overlap:
    """Texts of the latter split, with the text of the former split that each is equal or close to."""

    former: Index
    latter: Index
    texts: Mapping[Text, Text]

    @property
    def count(self) -> int:
        return sum(len(self.latter.rows[text]) for text in self.texts)

    @property
    def place(self) -> str:
        where = f"{self.former.name} and {self.latter.name}" if self.former is not self.latter else self.latter.name
        return f"{where} ({self.latter.share(self.count)} of {self.latter.name})"

    def longest(self) -> Iterator[tuple[Text, Text]]:
        """Pairs `(former text, latter text)`, those with most words first: they tell most."""
        by_length = sorted(self.texts, key=lambda text: -word_count(self.latter.keys[text]))
        return ((self.texts[text], text) for text in by_length)


def copies(splits: Splits) -> Iterator[Finding]:
    """Every finding about rows that are there more than once."""
    words = Words()
    indexes = [_index(split, words, numbered=is_numbered(split, splits)) for split in splits]
    yield from _shared([_equal(former, latter) for former, latter in combinations(indexes, 2)])
    yield from _conflicting(indexes)
    yield from _repeated(indexes)
    yield from _nearly_the_same(indexes)
    yield from _shared_ids(splits)


def quote(text: str, *, start: int = 0) -> str:
    """At most 60 characters of a text from `start` on, on one line."""
    line = ("…" if start else "") + " ".join(text[start:].split())
    return f'"{line if len(line) <= EXCERPT else line[: EXCERPT - 1] + "…"}"'


def percent(part: int, whole: int) -> str:
    """A share as people write it: `1.5 %`."""
    share = 100 * part / whole
    return "<0.1 %" if 0 < share < 0.1 else f"{share:.1f} %" if share < 10 else f"{share:.0f} %"


def rows(count: int) -> str:
    """`1 row`, `1,200 rows`."""
    return f"{count:,} row{'' if count == 1 else 's'}"


def is_numbered(split: Split, splits: Splits) -> bool:
    """Whether the rows of a split are all rows of its file: false after carving, where numbers would mislead."""
    carved = [one.name for one in splits if one.source.startswith("carved")]
    return split.name not in carved and not (carved and split is splits.train)


def _index(split: Split, words: Words, *, numbered: bool) -> Index:
    found: dict[Text, list[int]] = defaultdict(list)
    keys: dict[Text, bytes] = {}
    for row, example in enumerate(split.examples):
        if example.text.strip():
            text = (example.text, example.text_pair)
            found[text].append(row)
            if text not in keys:
                keys[text] = words.key(example)
    return Index(split, dict(found), keys, numbered)


def _equal(former: Index, latter: Index) -> Overlap:
    return Overlap(former, latter, {text: text for text in latter.rows if text in former.rows})


def _shared(overlaps: Iterable[Overlap]) -> Iterator[Finding]:
    overlaps = [overlap for overlap in overlaps if overlap.texts]
    if not overlaps:
        return
    short = sum(len(o.latter.rows[t]) for o in overlaps for t in o.texts if word_count(o.latter.keys[t]) < MIN_WORDS)
    other = sum(len(o.latter.rows[t]) for o in overlaps for t in o.texts if o.latter.labels(t) != o.former.labels(t))
    asides = [f"under {MIN_WORDS} words: {short:,}"] * bool(short)
    asides += [f"with other labels in the other split: {other:,}"] * bool(other)
    yield Finding(
        level="fatal",
        code="shared_rows",
        split=_only(overlap.latter.name for overlap in overlaps),
        count=sum(overlap.count for overlap in overlaps),
        message=f"a text may stand in one split only, but copies stand in {_joined(o.place for o in overlaps)}"
        f"{'; of these, ' * bool(asides)}{_joined(asides)}. A score on copies rewards learning by heart: "
        "remove them from the split named first",
        examples=_examples(
            f"{overlap.former.first(text)} = {overlap.latter.first(text)}: {quote(text[0])}"
            for overlap in overlaps
            for text, _ in islice(overlap.longest(), SHOWN)
        ),
    )


def _conflicting(indexes: Sequence[Index]) -> Iterator[Finding]:
    torn = [
        (index, text)
        for index in indexes
        for text, at in index.rows.items()
        if len(at) > 1 and len(index.labels(text)) > 1
    ]
    if torn:
        count = sum(len(index.rows[text]) for index, text in torn)
        yield Finding(
            level="warning",
            code="conflicting_labels",
            split=_only(index.name for index, _ in torn),
            count=count,
            message=f"the same text should have the same label, but {_per_split(torn, spare=0)} have a copy with "
            f"another label. No model can get both right: decide which one holds and remove the other",
            examples=_examples(f"{i.everywhere(text)}: {quote(text[0])} is {_told(i, text)}" for i, text in torn),
        )


def _repeated(indexes: Sequence[Index]) -> Iterator[Finding]:
    again = [
        (index, text)
        for index in indexes
        for text, at in index.rows.items()
        if len(at) > 1 and len(index.labels(text)) == 1
    ]
    if again:
        yield Finding(
            level="warning",
            code="duplicates",
            split=_only(index.name for index, _ in again),
            count=sum(len(index.rows[text]) - 1 for index, text in again),
            message="a text should stand in a split once, but these repeat an earlier row, label and all: "
            f"{_per_split(again, spare=1)}. They count more than once; remove them unless that weight is meant",
            examples=_examples(f"{index.everywhere(text)}: {quote(text[0])}" for index, text in again),
        )


def _per_split(found: Iterable[tuple[Index, Text]], *, spare: int) -> str:
    counts: dict[str, int] = defaultdict(int)
    indexes = {}
    for index, text in found:
        counts[index.name] += len(index.rows[text]) - spare
        indexes[index.name] = index
    return _joined(
        f"{rows(n)} of {name} ({percent(n, len(indexes[name].split.examples))})" for name, n in counts.items()
    )


def _told(index: Index, text: Text) -> str:
    return " and ".join(" + ".join(labels) or "without label" for labels in sorted(map(sorted, index.labels(text))))


def _nearly_the_same(indexes: Sequence[Index]) -> Iterator[Finding]:
    known = list(dict.fromkeys(key for index in indexes for key in index.keys.values()))
    words = sum(map(word_count, known))
    if words > MOST_WORDS:
        message = f"near-duplicates were not looked for: {words:,} words are more than {MOST_WORDS:,}"
        yield Finding(level="info", code="near_duplicates", message=message)
        return
    twins: dict[bytes, set[bytes]] = {key: {key} for key in known}
    for low, high in similar_pairs(known):
        twins[known[low]].add(known[high])
        twins[known[high]].add(known[low])
    inside = [_close(index, index, twins) for index in indexes]
    across = [_close(former, latter, twins) for former, latter in combinations(indexes, 2)]
    yield from _near(across, "The scores may be too good: remove those that are copies from the split named first")
    yield from _near(inside, "They teach little that is new; keep them only if that weight is meant")


def _close(former: Index, latter: Index, twins: Mapping[bytes, set[bytes]]) -> Overlap:
    texts: dict[bytes, list[Text]] = defaultdict(list)
    for text, key in former.keys.items():
        texts[key].append(text)
    pairs = {}
    for text, key in latter.keys.items():
        if former is not latter and text in former.rows:
            continue
        near = [one for twin in twins[key] for one in texts.get(twin, ()) if one != text]
        if former is latter:
            near = [one for one in near if former.rows[one][0] < former.rows[text][0]]
        if near:
            pairs[text] = min(near, key=lambda one: former.rows[one][0])
    return Overlap(former, latter, pairs)


def _near(overlaps: Iterable[Overlap], remedy: str) -> Iterator[Finding]:
    overlaps = [overlap for overlap in overlaps if overlap.texts]
    if overlaps:
        yield Finding(
            level="warning",
            code="near_duplicates",
            split=_only(overlap.latter.name for overlap in overlaps),
            count=sum(overlap.count for overlap in overlaps),
            message=f"rows should differ by more than case, punctuation or a few words, but there are near-duplicates "
            f"{'inside' if overlaps[0].former is overlaps[0].latter else 'between'} "
            f"{_joined(overlap.place for overlap in overlaps)}. {remedy}",
            examples=_examples(
                f"{overlap.former.first(one)} ~ {overlap.latter.first(text)}: {_difference(one, text)}"
                for overlap in overlaps
                for one, text in islice(overlap.longest(), SHOWN)
            ),
        )


def _difference(one: Text, other: Text) -> str:
    """Both texts, from shortly before the place where they part."""
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
        told = _joined(f"{first} and {second} share {count:,}" for (first, second), count in shared.items())
        named = {name for pair in shared for name in pair}
        several_files = any(is_numbered(split, splits) for split in splits if split.name in named)
        cause = "ids seem to be counted per split" if several_files else "in their file, one id has several texts"
        yield Finding(
            level="info",
            code="shared_ids",
            count=sum(shared.values()),
            message=f"the same id stands for different texts in different splits ({told}): {cause}, so do "
            "not join predictions by id",
        )


def _only(names: Iterable[str]) -> str | None:
    """The one split a finding is about; none where it is about several."""
    different = set(names)
    return different.pop() if len(different) == 1 else None


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def _examples(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(lines, SHOWN))
