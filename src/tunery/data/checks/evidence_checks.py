"""What is looked for in rows with labels and their evidence: spans that cut words or overlap, labels without evidence,
how much of the texts is marked, and what lies beyond the first window.

The target of each row is an `Evidence`. Spans outside their text are refused where they are read.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tunery.data.checks.check import NAMED, Check, Subject, counts_of
from tunery.data.checks.duplicates import EXCERPT, SHOWN, is_numbered, percent
from tunery.data.checks.label_checks import (
    balance,
    label_order,
    labels_without_rows,
    missing_classes,
    rare_classes,
    similar_labels,
    single_class,
    unseen_labels,
)
from tunery.data.checks.row_checks import (
    duplicates,
    empty_splits,
    empty_texts,
    equal_rows,
    same_tokens,
    small_splits,
    token_counts,
    unknown_tokens,
)
from tunery.data.evidence import Span, evidence_of, share_marked
from tunery.data.examples import Split
from tunery.data.lengths import UNSPACED
from tunery.errors import enumerated, shortened
from tunery.schema.results.finding import Finding

UNEVEN: Final = 2.0
"""How many times as much of one split's texts must be marked as of train's before annotators seem to have followed
other rules."""


def no_evidence(subject: Subject) -> Iterator[Finding]:
    """Training rows without a single span."""
    train = subject.splits.train
    if train.examples and not any(evidence_of(example).spans for example in train.examples):
        yield Finding(
            level="fatal",
            code="no_evidence",
            split="train",
            count=0,
            message="training rows need evidence to learn from, but none has a span. Name the right column as "
            "`data.evidence`, or learn labels alone: task.kind=classification or multilabel",
        )


def one_answer(subject: Subject) -> Iterator[Finding]:
    """A split whose rows all have the same labels; where there is one label only, evidence is what is learned."""
    if len(set[str]().union(*map(counts_of, subject.splits))) > 1:
        yield from single_class(subject)


def cut_words(subject: Subject) -> Iterator[Finding]:
    """Spans that begin or end inside a word."""
    cut = {
        split.name: [
            (row, span)
            for row, example in enumerate(split.examples)
            for span in evidence_of(example).spans
            if is_cut(example.text, span.start) or is_cut(example.text, span.end)
        ]
        for split in subject.splits
    }
    yield from _of_spans(
        subject,
        cut,
        code="cut_words",
        rule="evidence should begin and end between words, but spans cut a word in two",
        remedy="A word is evidence if half of it is covered. Where there are many such spans, offsets are usually "
        "counted in bytes, or in another version of the text: they are characters (code points) from 0, and `end` is "
        "the first character after the span",
    )


def empty_spans(subject: Subject) -> Iterator[Finding]:
    """Spans without characters."""
    for split in subject.splits:
        counts = {
            row: empty for row, example in enumerate(split.examples, start=1) if (empty := evidence_of(example).empty)
        }
        if counts:
            numbers = f" ({'row' if len(counts) == 1 else 'rows'} {enumerated([*map(str, counts)], NAMED)})"
            yield Finding(
                level="warning",
                code="empty_spans",
                split=split.name,
                count=sum(counts.values()),
                message=f"a span should hold characters, but {_spans(sum(counts.values()))} of {split.name} end where "
                f"they begin{numbers if is_numbered(split, subject.splits) else ''}: they are left out. Where `end` is "
                "the last character of a span, add 1 to it",
            )


def overlapping_spans(subject: Subject) -> Iterator[Finding]:
    """Spans of one label that share characters."""
    overlapping = {
        split.name: [
            (row, s) for row, example in enumerate(split.examples) for s in _overlapping(evidence_of(example).spans)
        ]
        for split in subject.splits
    }
    yield from _of_spans(
        subject,
        overlapping,
        code="overlapping_spans",
        rule="spans of one label should not overlap, but some share characters with one before",
        remedy="They are merged. Usual cause: several annotators in one column",
    )


def labels_without_evidence(subject: Subject) -> Iterator[Finding]:
    """Labels that rows of train have, but never with a span."""
    taught = counts_of(subject.splits.train)
    marked = {span.label for example in subject.splits.train.examples for span in evidence_of(example).spans}
    bare = sorted((label for label in taught if label not in marked), key=lambda label: -taught[label])
    if bare and marked:
        shown = enumerated([f"{label!r} {taught[label]:,}" for label in bare], NAMED)
        yield Finding(
            level="warning",
            code="labels_without_evidence",
            split="train",
            count=len(bare),
            message=f"the evidence of a label is learned from its spans, but {len(bare):,} of {len(taught):,} labels "
            f"have none in train (rows: {shown}). The label is learned, and that it has no evidence: mark some, unless "
            "that is meant",
        )


def rows_without_evidence(subject: Subject) -> Iterator[Finding]:
    """How many labels of rows have no span."""
    shares = []
    missing = 0
    for split in subject.splits:
        given = sum(len(example.labels) for example in split.examples)
        bare = sum(
            len(set(example.labels).difference(span.label for span in evidence_of(example).spans))
            for example in split.examples
        )
        if bare:
            shares.append(f"{split.name} {bare:,} of {given:,} ({percent(bare, given)})")
            missing += bare
    if missing:
        yield Finding(
            level="info",
            code="rows_without_evidence",
            count=missing,
            message=f"labels that rows have without evidence: {', '.join(shares)}. They are learned as labels",
        )


def marked_share(subject: Subject) -> Iterator[Finding]:
    """How much of the texts with evidence is evidence."""
    shares = {split.name: share for split in subject.splits if (share := share_marked(split.examples)) is not None}
    if not shares:
        return
    counts = [sum(len(evidence_of(example).spans) for example in split.examples) for split in subject.splits]
    spans = ", ".join(f"{split.name} {count:,}" for split, count in zip(subject.splits, counts, strict=True))
    uneven = [name for name, share in shares.items() if share >= UNEVEN * shares.get("train", 1)]
    advice = (
        f". {' and '.join(uneven)} {'is' if len(uneven) == 1 else 'are'} marked more densely than train: if annotators "
        "of train marked only some of the evidence, write `task.annotation: partial`"
        if uneven
        else ""
    )
    yield Finding(
        level="info",
        code="evidence",
        count=sum(counts),
        message=f"spans of evidence: {spans}. They cover so much of the texts that have any: "
        f"{', '.join(f'{name} {100 * share:.0f} %' for name, share in shares.items())}{advice}",
    )


def rejected_evidence(subject: Subject) -> Iterator[Finding]:
    """How many spans experts say are none."""
    shares = []
    total = 0
    for split in subject.splits:
        rejected = sum(len(evidence_of(example).rejected) for example in split.examples)
        kept = sum(len(evidence_of(example).spans) for example in split.examples)
        if rejected:
            shares.append(f"{split.name} {rejected:,} ({percent(rejected, rejected + kept)})")
            total += rejected
    if total:
        yield Finding(
            level="info",
            code="rejected_evidence",
            count=total,
            message=f"spans that experts rejected: {', '.join(shares)} of all that were looked at. They are learned as "
            "what is no evidence",
        )


def evidence_beyond_window(subject: Subject) -> Iterator[Finding]:
    """How much evidence begins behind what the first window of a text reads."""
    shares = []
    beyond_all = 0
    for split in subject.splits:
        reach = subject.reach.get(split.name)
        if reach is None:
            continue
        sample = subject.sample.get(split.name, split.examples)
        ends = [
            (span.start, end) for example, end in zip(sample, reach, strict=True) for span in evidence_of(example).spans
        ]
        if beyond := sum(start >= end for start, end in ends):
            shares.append(f"{split.name} {percent(beyond, len(ends))}")
            beyond_all += beyond
    if beyond_all:
        yield Finding(
            level="info",
            code="evidence_beyond_window",
            count=beyond_all,
            message=f"spans that begin after the first {subject.max_length:,} tokens (`model.max_length`) of the text: "
            f"{', '.join(shares)}. Nothing is cut: longer texts are read in several windows",
        )


def is_cut(text: str, place: int) -> bool:
    """Whether there is no end of a word between a character and the one before it."""
    before, after = text[max(0, place - 1) : place], text[place : place + 1]
    if not before or not after:
        return False
    if unicodedata.category(after).startswith("M"):  # an accent, or a vowel of its character
        return True
    return (before + after).isalnum() and not UNSPACED.search(before + after)


def _overlapping(spans: Sequence[Span]) -> Iterator[Span]:
    """Those that share characters with an earlier one of their label; spans are sorted."""
    reached: dict[str, int] = {}
    for start, end, label in spans:
        if start < reached.get(label, 0):
            yield Span(start, end, label)
        reached[label] = max(end, reached.get(label, 0))


def _of_spans(
    subject: Subject, spans: Mapping[str, Sequence[tuple[int, Span]]], *, code: str, rule: str, remedy: str
) -> Iterator[Finding]:
    """A warning about some spans, by split name and with their rows; it says which share of all they are."""
    shares, shown = [], []
    for split in subject.splits:
        if some := spans[split.name]:
            count = sum(len(evidence_of(example).spans) for example in split.examples)
            shares.append(f"{split.name} {len(some):,} ({percent(len(some), count)})")
            shown += [_shown(split, subject, row, span) for row, span in some[:SHOWN]]
    if shares:
        yield Finding(
            level="warning",
            code=code,
            count=sum(map(len, spans.values())),
            message=f"{rule}: {', '.join(shares)}. {remedy}",
            examples=tuple(shown[:SHOWN]),
        )


def _spans(count: int) -> str:
    return f"{count:,} span{'' if count == 1 else 's'}"


def _shown(split: Split, subject: Subject, row: int, span: Span) -> str:
    """A span with what is around it."""
    example = split.examples[row]
    name = f"{split.name} row {row + 1}" if is_numbered(split, subject.splits) else split.name
    before = example.text[max(0, span.start - EXCERPT // 4) : span.start]
    after = example.text[span.end : span.end + EXCERPT // 4]
    quoted = f"{before}[{shortened(example.text[span.start : span.end], EXCERPT)}]{after}"
    return f"{name}, {span.label}: {' '.join(quoted.split())}"


EVIDENCE_CHECKS: Final[tuple[Check, ...]] = (
    empty_splits,
    no_evidence,
    one_answer,
    unseen_labels,
    labels_without_rows,
    similar_labels,
    empty_texts,
    unknown_tokens,
    same_tokens,
    duplicates,
    empty_spans,
    cut_words,
    overlapping_spans,
    labels_without_evidence,
    missing_classes,
    rare_classes,
    small_splits,
    label_order,
    balance,
    marked_share,
    rows_without_evidence,
    rejected_evidence,
    evidence_beyond_window,
    token_counts,
)
"""For rows with labels and their evidence."""

QUICK_EVIDENCE_CHECKS: Final[tuple[Check, ...]] = (
    empty_splits,
    no_evidence,
    one_answer,
    unseen_labels,
    empty_texts,
    equal_rows,
)
"""Those that can be fatal and need no tokens."""
