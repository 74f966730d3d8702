"""The rows that a model answers worst, to be read: wrong labels in the data are often among them. Where there is
evidence it is marked in the text, that of the data and that of the model."""

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from tunery.report.markup import Html, join, tag
from tunery.report.pages.components import number_cell, section, table
from tunery.report.text.comparison_table import interval
from tunery.report.text.formatting import DASH, count, percent, plural, score
from tunery.schema.results.worst_rows import MarkedSpan, Marks, RowNumber, WorstRow, WorstRows

MOST_LABELS: Final = 8
"""Labels of a row that are shown before it is said how many more there are."""

_MOST_NATS: Final = 700.0
"""Loss whose exponential is still a number."""
_LEFT_OUT: Final = "\N{HORIZONTAL ELLIPSIS}"

_KEY: Final = (
    ("gold", "evidence in the data"),
    ("predicted", "evidence that the model finds"),
    ("gold predicted", "both (names say whether of one label)"),
)
"""Classes of a mark, and what they mean."""


def worst_rows_section(worst: WorstRows) -> Html:
    """Row, labels, answer, loss and the beginning of the text, or what is marked in it, the highest loss first."""
    note = tag("p", " ".join(_notes(worst)), class_="quiet")
    parts = [note, _key() if _has_marks(worst) else None, _table(worst.rows, worst, sortable=True)]
    if worst.typical:
        others = (
            f"{plural(len(worst.typical), 'row')} with evidence, at equal distances among all others by their loss."
        )
        parts += [
            tag("h3", "Typical rows"),
            tag("p", others, class_="quiet"),
            _table(worst.typical, worst, sortable=False),
        ]
    return section("Worst texts" if _has_tokens(worst) else "Worst rows", *parts, long=True)


def _table(rows: Sequence[WorstRow], worst: WorstRows, *, sortable: bool) -> Html:
    answers: list[tuple[str, str | None]] = [("label", None), ("answer", None)] if _has_labels(worst) else []
    if _has_numbers(worst):
        answers = [("right", "n"), ("answer", "n")]
    elif _has_tokens(worst):
        answers = [("tokens", "n"), ("perplexity", "n")]
    header: list[tuple[str, str | None]] = [("row", None), *answers, ("loss", "n")]
    header += [("text", None)] if worst.has_texts else []
    shown = [_row(row, with_labels=_has_labels(worst), with_text=worst.has_texts) for row in rows]
    return table(header, shown, sortable=sortable, class_="worst")


def _has_marks(worst: WorstRows) -> bool:
    return any(row.marks and row.marks.passages for row in worst.rows)


def _has_labels(worst: WorstRows) -> bool:
    return any(row.labels or row.answer for row in (*worst.rows, *worst.typical))


def _has_numbers(worst: WorstRows) -> bool:
    return any(row.number for row in worst.rows)


def _has_tokens(worst: WorstRows) -> bool:
    return any(row.tokens is not None for row in worst.rows)


def _key() -> Html:
    """What marks look like."""
    return tag("p", [join([tag("mark", text, class_=kind), " "]) for kind, text in _KEY], class_="marked key")


def _notes(worst: WorstRows) -> Iterator[str]:
    shown = f"{len(worst.rows):,} of {plural(worst.total, 'row')} of {worst.split} with the highest loss"
    if _has_numbers(worst):
        outside = sum(row.number is not None and row.number.is_inside is False for row in worst.rows)
        yield f"The {shown}; the right number of {outside:,} of them is not in its interval, which is below the answer."
        yield "The number in the data may be wrong, too."
    elif _has_tokens(worst):
        of = f"{plural(worst.total, 'text')} of {worst.split}"
        yield f"The {len(worst.rows):,} of {of} with the highest loss a token."
        yield "Short texts are often among them: the fewer tokens, the more their mean varies."
    elif not _has_labels(worst):  # records of earlier versions
        yield f"The {shown}, which is the mean over their tokens."
    else:
        wrong = sum(set(row.labels) != set(row.answer) for row in worst.rows)
        yield f"The {shown}; {wrong:,} of them got a wrong answer. The label in the data may be wrong, too."
        yield "The percentage is the probability that the model gives a label; bold labels make the answer wrong."
    if worst.split == "test":
        yield "A model that is changed because of these rows needs other rows for an honest test."
    if not worst.has_texts:
        yield "Without texts: they were left out of the record."
    elif any(text.is_cut for row in worst.rows for text in row.texts):
        yield "A text that ends in \N{HORIZONTAL ELLIPSIS} goes on; its beginning is shown."
    if _has_marks(worst):
        yield "Behind each mark is its label, with the probability of its likeliest word or sentence where the model "
        yield "found it. Evidence counts as missed where the model marks none of it for this label."


def _row(row: WorstRow, *, with_labels: bool, with_text: bool) -> Html:
    # <bdi> ends the direction that a text is written in
    excerpts = [
        tag("div", tag("bdi", text.text), " \N{HORIZONTAL ELLIPSIS}" if text.is_cut else None) for text in row.texts
    ]
    if row.marks:
        excerpts = [tag("div", _marked(row.marks), class_="marked")]
    answers: tuple[Html, ...] = ()
    if row.number is not None:
        answers = (number_cell(row.number.right), _number(row.number))
    elif row.tokens is not None:
        answers = (number_cell(row.tokens, count), number_cell(math.exp(min(row.loss, _MOST_NATS))))
    elif with_labels:
        answers = (
            tag("td", _labels(row.labels, row, but_for=row.answer)),
            tag("td", _labels(row.answer, row, but_for=row.labels)),
        )
    return tag(
        "tr",
        tag("td", tag("code", row.id)),
        answers,
        number_cell(row.loss),
        tag("td", excerpts, class_="excerpt") if with_text else None,
    )


def _number(number: RowNumber) -> Html:
    """The model's number above its interval."""
    ends = None if number.low is None else tag("small", interval(number.low, number.high))
    return tag("td", score(number.answer), ends, class_="n", data_v=repr(number.answer))


def _labels(labels: Sequence[str], row: WorstRow, *, but_for: Collection[str]) -> Html:
    """Names with their probabilities; those that make the answer wrong come first, in bold."""
    shown = [
        tag("div", name if name in but_for else tag("b", name), f" {percent(row.probabilities[name])}")
        for name in sorted(labels, key=lambda name: name in but_for)[:MOST_LABELS]
    ]
    more = len(labels) - MOST_LABELS
    return join([*shown, tag("div", f"and {more:,} more") if more > 0 else None] if labels else [DASH])


def _marked(marks: Marks) -> Html:
    """The passages of a text with its evidence marked, and how many characters are left out before, between and
    behind them."""
    children: list[Html | str] = []
    end = 0
    for passage in marks.passages:
        children += _gap(passage.start - end)
        edges = {edge for span in (*marks.evidence, *marks.answer) for edge in (span.start, span.end)}
        cuts = sorted({passage.start, passage.end, *(edge for edge in edges if passage.start < edge < passage.end)})
        for start, stop in zip(cuts, cuts[1:], strict=False):
            children.append(_segment(passage.text[start - passage.start : stop - passage.start], start, stop, marks))
        end = passage.end
    children += _gap(marks.characters - end)
    if marks.left_out:
        children.append(tag("small", f" {plural(marks.left_out, 'more span')} not marked."))
    return tag("bdi", children)


def _gap(characters: int) -> list[Html | str]:
    return [tag("small", f" {_LEFT_OUT} {plural(characters, 'character')} left out {_LEFT_OUT} ")] if characters else []


def _segment(text: str, start: int, stop: int, marks: Marks) -> Html | str:
    gold = [span for span in marks.evidence if span.start <= start and stop <= span.end]
    predicted = [span for span in marks.answer if span.start <= start and stop <= span.end]
    if not gold and not predicted:
        return text
    kind = " ".join(name for name, spans in (("gold", gold), ("predicted", predicted)) if spans)
    names = [*_names(gold, predicted, stop, marks)]
    by = tag("small", tag("bdi", f" {', '.join(names)}")) if names else None
    return join([tag("mark", text, class_=kind), by])


def _names(gold: Sequence[MarkedSpan], predicted: Sequence[MarkedSpan], stop: int, marks: Marks) -> Iterator[str]:
    """Labels of the spans that end here."""
    ending = [span for span in predicted if span.end == stop and span.score is not None]
    for span in ending:
        is_new = not any(_overlap(span, other) for other in marks.evidence)
        yield f"{span.label} {percent(span.score)}{' (not in the data)' if is_new else ''}"
    for span in gold:
        if span.end == stop and span.label not in {other.label for other in ending}:
            is_missed = not any(_overlap(span, other) for other in marks.answer)
            yield f"{span.label}{' (missed)' if is_missed else ''}"


def _overlap(one: MarkedSpan, other: MarkedSpan) -> bool:
    return one.label == other.label and one.start < other.end and other.start < one.end
