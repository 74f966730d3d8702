"""Files with a word and its tag in each line, as corpora of named entities have them, become texts with evidence.

A text is its words with one space between them, and what tags mark in it is evidence of the label that they name. One
rule reads BIO, IOB1, BIOES and BILOU tags: B, S and U begin a span; I, E and L continue an open one of the same label,
else they begin one, as IOB1 has it; E, L, S and U end it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from tunery.data.reading.source import Malformed, Row, Source
from tunery.data.reading.tables import collected
from tunery.errors import enumerated, shortened

_TAG: Final = re.compile(r"O|([BIESLU])(?:[-_](\S+))?")
_HEADER: Final = frozenset(("token", "word", "tag", "ner", "ner_tag", "ner_tags", "label", "tokens", "words", "tags"))
"""What a first line holds where it names the columns."""
_WORDS: Final = ("tokens", "words")
"""Columns of lists of words."""
_LOOKED_AT: Final = 200
"""Lines in which tagged words are looked for."""
_SHOWN: Final = 5
_MOST_ALONE: Final = 20_000
"""Characters up to which a file may be one text."""
_UNBEGUN: Final = "unbegun"
"""Where spans are counted that I, E or L begins."""


class _Token(NamedTuple):
    """A word, and what its tag says; O has no letter."""

    word: str
    letter: str | None
    label: str | None


def holds_tagged_words(source: Source) -> bool:
    """Whether nearly all lines end with a tag, as `EU B-ORG`; a tag without a label needs blank lines between texts."""
    if source.columns is not None:
        return False
    lines = [*islice(_lines(source), _LOOKED_AT)]
    cells = [_cells(line) for line in lines if line and not _is_comment(line)]
    tags = [tag for *words, last in cells if words and (tag := _TAG.fullmatch(last))]
    names_labels = any(tag[2] for tag in tags)
    return len(cells) > 2 and len(tags) > 0.9 * len(cells) and (names_labels or "" in lines[1:-1])


def parse_tagged_words(source: Source) -> list[Row]:
    """One row for each text, which blank lines separate: `text`, `labels`, and `evidence` in characters.

    A line has a word first and its tag last; what is between them is left out, and so are comments and `-DOCSTART-`.
    Where tags name no label (B, I and O alone), rows have no `labels`.

    Raises:
        Malformed: a line has no word or no tag, with its number; or some tags name a label and others do not.
    """
    if source.columns is not None:
        raise Malformed("a file of tagged words has no columns to name; leave `data.columns` out")
    rows, notes = _with_evidence(({}, tokens) for tokens in _texts(source))
    if len(rows) == 1 and len(rows[0]["text"]) > _MOST_ALONE:
        raise Malformed("blank lines must separate its texts, but there is none; put one after each sentence or text")
    for note in notes:
        source.note(note)
    return rows


def with_words_joined(rows: list[Row]) -> tuple[list[Row], list[str]]:
    """The rows themselves; or, where each has a list of words and a list of their tags, rows as `parse_tagged_words`
    gives them, with what else they have, and notes about them.

    Raises:
        Malformed: a row has more or fewer tags than words, or a tag is none.
    """
    columns = _lists(rows)
    return (rows, []) if columns is None else _with_evidence(_listed_texts(rows, *columns))


def _lists(rows: Sequence[Row]) -> tuple[str, str] | None:
    """The columns of words and of tags with letters, `ner_tags` before others; numbers are no tags."""
    first = next((row for row in rows if any(row.get(name) for name in _WORDS)), None)
    if first is None or "text" in first:
        return None
    words = next(name for name in _WORDS if first.get(name))
    tags = [
        name
        for name, cell in first.items()
        if re.search(r"(^|_)tags?$", name.lower()) and isinstance(cell, list) and len(cell) == len(first[words])
        if all(isinstance(tag, str) and _TAG.fullmatch(tag) for tag in cell)
    ]
    if not isinstance(first[words], list) or not tags:
        return None
    return words, min(tags, key=lambda name: "ner" not in name.lower())


def _listed_texts(rows: Sequence[Row], words: str, tags: str) -> Iterator[tuple[Row, list[_Token]]]:
    for number, row in enumerate(rows, start=1):
        pair = row.get(words) or [], row.get(tags) or []
        if len(pair[0]) != len(pair[1]):
            raise Malformed(
                f"each word must have its tag, but row {number:,} has {len(pair[0]):,} in {words!r} and "
                f"{len(pair[1]):,} in {tags!r}"
            )
        tokens = [_token([str(word).strip(), str(tag)], f"row {number:,}") for word, tag in zip(*pair, strict=True)]
        rest = {name: cell for name, cell in row.items() if not isinstance(cell, list) or len(cell) != len(tokens)}
        yield rest, tokens


def _with_evidence(texts: Iterable[tuple[Row, Sequence[_Token]]]) -> tuple[list[Row], list[str]]:
    """A row for each text, besides what is known of it, and what is to be said of all."""
    letters: Counter[str] = Counter()
    spans: Counter[str | None] = Counter()
    rows = collected({**rest, **_row(tokens, letters, spans)} for rest, tokens in texts)
    unlabelled = spans.pop(None, 0)
    if unlabelled and spans:
        raise Malformed(f"tags must name their labels, as B-PER does, but those of {unlabelled:,} spans name none")
    if unlabelled:
        for row in rows:
            del row["labels"]
    scheme = "BIOES" if letters["S"] or letters["E"] else "BILOU" if letters["U"] or letters["L"] else "BIO"
    unbegun = letters[_UNBEGUN]
    if unbegun > letters["B"]:
        scheme, unbegun = "IOB1", 0
    counts = enumerated([f"{label} {count:,}" for label, count in spans.most_common()], _SHOWN)
    notes = [
        f"it has a tag for each word ({scheme}), which is read as evidence: {unlabelled or spans.total():,} spans in "
        f"{len(rows):,} texts{counts and f' ({counts})'}; a text is its words with one space between them"
    ]
    if unbegun:
        notes.append(f"{unbegun:,} spans begin with I, E or L in place of B; they are taken as spans")
    return rows, notes


def _row(tokens: Sequence[_Token], letters: Counter[str], spans: Counter[str | None]) -> Row:
    """A text. How often each letter occurs is added to `letters`, how many spans each label has to `spans`."""
    evidence: list[list[Any]] = []
    start, open_label, is_open = 0, None, False
    for word, letter, label in tokens:
        end = start + len(word)
        if letter is not None:
            letters[letter] += 1
            if letter in "IEL" and is_open and label == open_label:
                evidence[-1][1] = end
            else:
                letters[_UNBEGUN] += letter in "IEL"
                spans[label] += 1
                evidence.append([start, end] if label is None else [start, end, label])
        open_label, is_open = label, letter in ("B", "I")
        start = end + 1
    labels = dict.fromkeys(span[2] for span in evidence if len(span) == 3)
    return {"text": " ".join(token.word for token in tokens), "labels": [*labels], "evidence": evidence}


def _texts(source: Source) -> Iterator[list[_Token]]:
    tokens: list[_Token] = []
    for number, line in enumerate(_lines(source), start=1):
        if not line:
            if tokens:
                yield tokens
            tokens = []
        elif not _is_comment(line) and not (number == 1 and _HEADER.issuperset(map(str.lower, _cells(line)))):
            tokens.append(_token(_cells(line), f"line {number:,}"))
    if tokens:
        yield tokens


def _token(cells: Sequence[str], place: str) -> _Token:
    rule = f"each word must have its tag, as `EU B-ORG`, but {place}"
    if len(cells) < 2 or not cells[0]:
        only = shortened(next(filter(None, cells), ""), 40)
        raise Malformed(f"{rule} has only {only!r}; add what is missing (O where the word is in no span)")
    if (tag := _TAG.fullmatch(cells[-1])) is None:
        raise Malformed(
            f"{rule} has {shortened(cells[-1], 40)!r}; a tag is O, or one of B, I, E, S, L and U with its label "
            "(`B-PER`)"
        )
    return _Token(cells[0], tag[1], tag[2])


def _lines(source: Source) -> Iterator[str]:
    try:
        for line in source.lines(newline=""):
            yield line.strip(" \t\r\n")
    except UnicodeError as error:
        raise source.misread(error) from error


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("\t")] if "\t" in line else line.split()


def _is_comment(line: str) -> bool:
    """Of a corpus that describes its texts: `# text = ...`; a word may be `#`, too."""
    described = line.startswith("#") and (" = " in line or not _TAG.fullmatch(_cells(line)[-1]))
    return described or line.startswith("-DOCSTART-")
