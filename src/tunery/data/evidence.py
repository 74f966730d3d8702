"""Which characters of a text are the evidence of its labels, and how that is read from a row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from tunery.data.examples import Annotation, Example, RowReader
from tunery.data.reading.cells import BadCell, Unlabelled, is_missing, items_of, name_of, text_of
from tunery.data.reading.labels import one_label, several_labels
from tunery.data.reading.source import Row
from tunery.errors import did_you_mean, shortened
from tunery.schema.config.data import Data

ONLY_LABEL: Final = "evidence"
"""The label of spans that name none, where rows have no labels of their own (`data.labels: null`)."""
SPARSE: Final = 0.15
"""Share of the characters of texts with evidence below which reasons for the label of a whole text are some of many."""
ANNOTATION: Final = "its annotated sentences"
"""Column in which rows have the `Annotation` that `join_annotations` made of files of annotated sentences."""


class Span(NamedTuple):
    """Characters (code points) of a text, counted from 0: from `start` to before `end`."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What justifies the labels of a row."""

    spans: tuple[Span, ...] = ()
    """Evidence of labels that the row has, sorted by start. A label may have none."""
    rejected: tuple[Span, ...] = ()
    """What an expert says is no evidence of a label, sorted by start; the row need not have that label."""
    empty: int = 0
    """Spans without characters, which are left out."""


def evidence_of(example: Example) -> Evidence:
    """That of a row; none where it has no annotation."""
    return Evidence() if example.target is None else example.target


def share_marked(examples: Sequence[Example]) -> float | None:
    """The share of the characters that are evidence of some label, of rows that have evidence; None where none has."""
    marked = characters = 0
    for example in examples:
        if spans := evidence_of(example).spans:
            characters += len(example.text)
            reached = 0
            for start, end, _ in spans:
                marked += max(0, end - max(start, reached))
                reached = max(reached, end)
    return marked / characters if characters else None


def annotation_of(share: float | None, *, exclusive: bool) -> Literal["exhaustive", "partial"]:
    """Whether annotators seem to have marked all evidence. A text usually has more reasons for its one label than those
    that make up a small part of it.

    Args:
        share: as of `share_marked`.
        exclusive: whether every row has exactly one label.
    """
    return "partial" if exclusive and share is not None and share < SPARSE else "exhaustive"


def make_evidence(spans: Sequence[Span], rejected: Sequence[Span] = ()) -> Evidence:
    """Spans in any order; what is both evidence and rejected is evidence."""
    if not spans and not rejected:
        return Evidence()
    marked = {span for span in spans if span.start < span.end}
    refused = {span for span in rejected if span.start < span.end} - marked
    empty = sum(span.start >= span.end for span in (*spans, *rejected))
    return Evidence(tuple(sorted(marked)), tuple(sorted(refused)), empty)


def spans_of(cell: Any, text: str, *, label: str | None) -> list[Span]:
    """The spans of a text that a cell holds, in its order; none where it is empty. Some may have no characters.

    Args:
        cell: a list of `[start, end]`, `[start, end, label]` or `{"start", "end", "label"}`, other keys of which are
            not read; or numbers of characters, where a span is a run of consecutive ones; or a string that is such
            a list.
        label: of spans that name none; None: each must name its own.

    Raises:
        BadCell: it is no such list, or a span is not within the text.
    """
    if is_missing(cell) or (isinstance(cell, str) and not cell.strip()):
        return []
    rule = "must hold a list of spans, [[start, end], …], [[start, end, label], …] or objects with these keys"
    try:
        items = items_of(cell)
    except BadCell:
        items = None
    if items is None:
        raise BadCell(f"{rule}, but got {_shown(cell)}; correct it, or leave it empty where there is no evidence")
    if items and _whole(items[0]) is not None and all(_whole(item) is not None for item in items):
        items = _runs([int(item) for item in items])
    return [_span(item, text, label=label, rule=rule) for item in items]


def evidence_reader(data: Data, *, exclusive: bool) -> RowReader:
    """How labels, and an `Evidence` as the target, are read from a row.

    Args:
        exclusive: whether every row has exactly one label (`data.label`), not any number (`data.labels`).
    """
    if data.annotations is not None:
        return RowReader(columns=(), read=_joined(exclusive=exclusive))
    labels_of = one_label(data) if exclusive else several_labels(data)
    named = {"data.evidence": data.evidence, "data.rejected": data.rejected}
    columns = {key: column for key, column in named.items() if column is not None}
    labels_from_spans = data.labels is None and not exclusive

    def read(row: Row) -> Annotation:
        text = text_of(row.get(data.text_columns[0]))
        labels = labels_of.read(row).labels
        only = ONLY_LABEL if labels_from_spans else labels[0] if len(labels) == 1 else None
        spans, rejected = (_spans_in(row, columns.get(key), text, label=only) for key in named)
        if labels_from_spans:
            labels = tuple(dict.fromkeys(span.label for span in sorted(spans)))
        elif other := next((span for span in spans if span.label not in labels), None):
            has = did_you_mean(other.label, labels) if labels else "it has none"
            raise BadCell(
                f"column {data.evidence!r} must hold evidence of labels that the row has ({has}), but got "
                f"{_shown(list(other))}; correct it, give the row this label, or remove the span"
            )
        return _without(Annotation(labels, make_evidence(spans, rejected)), data.ignore_labels, exclusive=exclusive)

    return RowReader(columns=(*labels_of.columns, *columns.items()), read=read)


def _joined(*, exclusive: bool) -> Callable[[Row], Annotation]:
    def read(row: Row) -> Annotation:
        annotation: Annotation = row[ANNOTATION]
        if exclusive and not annotation.labels:
            raise Unlabelled("its sentences are evidence of no label; every row needs one label")
        if exclusive and len(annotation.labels) > 1:
            names = ", ".join(map(repr, annotation.labels))
            raise BadCell(f"must have one label (task.exclusive), but its sentences are evidence of {names}")
        return annotation

    return read


def _spans_in(row: Row, column: str | None, text: str, *, label: str | None) -> list[Span]:
    try:
        return [] if column is None else spans_of(row.get(column), text, label=label)
    except BadCell as problem:
        raise BadCell(f"column {column!r} {problem}") from None


def _span(item: Any, text: str, *, label: str | None, rule: str) -> Span:
    if isinstance(item, Mapping):
        parts = [item.get(key) for key in ("start", "end", "label")] if item.keys() >= {"start", "end"} else []
    else:
        parts = [*item] if isinstance(item, list | tuple) and len(item) in (2, 3) else []
    if not parts:
        raise BadCell(f"{rule}, but one of them is {_shown(item)}")
    start, end = (_whole(number) for number in parts[:2])
    is_empty = start is not None and end is not None and start - 1 <= end <= start  # nothing between two characters
    if start is None or end is None or not 0 <= start <= len(text) or not (is_empty or start < end <= len(text)):
        raise BadCell(
            f"must hold spans with whole numbers 0 <= start < end <= {len(text):,}, the characters (code points, not "
            f"bytes) of the text, but got {_shown(item)}; correct it, or remove it"
        )
    own = name_of(parts[2]) if len(parts) == 3 else None
    if own is None and label is None:
        raise BadCell(
            f"must say of which label a span is where its row has several labels or none, [start, end, label], but got "
            f"{_shown(item)}"
        )
    return Span(start, end, own or label or "")


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    """Numbers of characters -> first and after the last of each run of consecutive ones."""
    if len(numbers) == 2 and abs(numbers[1] - numbers[0]) > 1:
        raise BadCell(f"must hold a list of spans, but got {_shown(numbers)}; write [{_shown(numbers)}] for one span")
    runs: list[list[int]] = []
    for number in sorted({*numbers}):
        if runs and runs[-1][1] == number:
            runs[-1][1] = number + 1
        else:
            runs.append([number, number + 1])
    return runs


def _whole(number: Any) -> int | None:
    if isinstance(number, float) and number.is_integer():
        return int(number)
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _without(annotation: Annotation, ignored: Sequence[str], *, exclusive: bool) -> Annotation:
    """The same without the labels that are ignored, and their spans."""
    if not ignored:
        return annotation
    labels = tuple(label for label in annotation.labels if label not in ignored)
    if exclusive and not labels:
        raise Unlabelled(f"its label {annotation.labels[0]!r} is ignored; every row needs one label")
    spans, rejected = (
        [span for span in some if span.label not in ignored]
        for some in (annotation.target.spans, annotation.target.rejected)
    )
    return Annotation(labels, make_evidence(spans, rejected))


def _shown(value: Any) -> str:
    return shortened(repr(value), 60)
