"""What of a text may be changed, and how it and its spans look after it was."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from tunery.data.evidence import Evidence, Span
from tunery.data.examples import JOINT
from tunery.data.units import words


class Word(NamedTuple):
    """A word with a letter or a digit: characters from `start` to before `end`."""

    start: int
    end: int


class Segment(NamedTuple):
    """Characters of a text from `start` to before `end` that may be changed, and the words in them.

    Edits stay within one segment and leave a word in it, so nothing else of the text changes, and no span that begins
    and ends where segments do becomes empty.
    """

    start: int
    end: int
    words: tuple[Word, ...]


class Edit(NamedTuple):
    """Characters of a text from `start` to before `end`, at least one, are replaced."""

    start: int
    end: int
    text: str


def segments_of(text: str, evidence: Evidence | None) -> list[Segment]:
    """The segments of a text: all of it between two columns, or of a text with evidence that of at least one label, cut
    wherever a span begins or ends. A word that is in several belongs to none.

    Args:
        evidence: None: its task has none.
    """
    spans = () if evidence is None else evidence.spans
    edges = () if evidence is None else (*spans, *evidence.rejected)
    joints = [place for place, character in enumerate(text) if character == JOINT] if JOINT in text else []
    cuts = {0, len(text), *(cut for start, end, _ in edges for cut in (start, end))}
    cuts.update(cut for joint in joints for cut in (joint, joint + 1))
    found = [Word(start, end) for start, end in words(text).tolist() if any(map(str.isalnum, text[start:end]))]
    starts = [word.start for word in found]
    segments = []
    for start, end in pairwise(sorted(cuts)):
        if evidence is None or any(span.start <= start and end <= span.end for span in spans):
            inside = found[bisect_right(starts, start - 1) : bisect_right(starts, end - 1)]
            inside = [word for word in inside if word.end <= end]
            if inside:
                segments.append(Segment(start, end, tuple(inside)))
    return segments


def edited(text: str, edits: Sequence[Edit]) -> str:
    """The text after edits, which are in order and apart."""
    return "".join(_pieces(text, edits))


def _pieces(text: str, edits: Sequence[Edit]) -> Iterator[str]:
    kept = 0
    for edit in edits:
        yield text[kept : edit.start]
        yield edit.text
        kept = edit.end
    yield text[kept:]


def moved(evidence: Evidence, edits: Sequence[Edit]) -> Evidence:
    """The spans after edits of which none reaches across a beginning or an end of a span."""
    ends = [edit.end for edit in edits]
    grown = [0, *accumulate(len(edit.text) - (edit.end - edit.start) for edit in edits)]

    def shifted(spans: Iterable[Span]) -> tuple[Span, ...]:
        return tuple(
            Span(start + grown[bisect_right(ends, start)], end + grown[bisect_right(ends, end)], label)
            for start, end, label in spans
        )

    return Evidence(shifted(evidence.spans), shifted(evidence.rejected))
