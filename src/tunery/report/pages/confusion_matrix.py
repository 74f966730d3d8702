"""Which labels a model takes for which others: the confusion matrix, and its most frequent mix-ups."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tunery.report.markup import Html, tag
from tunery.report.pages.components import number_cell, table
from tunery.report.text.formatting import count, percent, plural

MOST_LABELS: Final = 20
"""Up to so many labels the whole matrix is shown."""

MOST_MIX_UPS: Final = 10

_DARKEST: Final = 55
"""Percent of the colour in a cell that has all rows of its label."""


class Confusion(NamedTuple):
    """Rows of a split by their label and the model's answer."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """`counts[i][j]`: rows with label i that got label j."""


class MixUp(NamedTuple):
    """Rows of one label that got another."""

    label: str
    answer: str
    rows: int
    share: float
    """Of the rows with the label."""


def confusion_of(metrics: Mapping[str, Any]) -> Confusion | None:
    """From a run's metrics; None where they have no matrix, as for several labels per row."""
    labels, matrix = tuple(map(str, metrics.get("per_label") or ())), metrics.get("confusion_matrix")
    if not labels or not isinstance(matrix, Sequence) or [len(row) for row in matrix] != [len(labels)] * len(labels):
        return None
    return Confusion(labels, tuple(tuple(map(int, row)) for row in matrix))


def mix_ups(confusion: Confusion) -> list[MixUp]:
    """Every pair of labels that was mixed up, the most frequent first; of equals the one that is more of its label."""
    pairs = [
        MixUp(label, answer, number, number / sum(row))
        for label, row in zip(confusion.labels, confusion.counts, strict=True)
        for answer, number in zip(confusion.labels, row, strict=True)
        if number and answer != label
    ]
    return sorted(pairs, key=lambda pair: (-pair.rows, -pair.share))


def confusion_parts(metrics: Mapping[str, Any]) -> list[Html]:
    """The matrix, where it can be read, and the most frequent mix-ups; nothing where the metrics have no matrix."""
    confusion = confusion_of(metrics)
    if confusion is None:
        return []
    pairs = mix_ups(confusion)
    if not pairs:
        return [tag("p", "No row got a wrong label.", class_="quiet apart")]
    matrix = [tag("h3", "Confusion matrix"), _matrix(confusion)] if len(confusion.labels) <= MOST_LABELS else []
    return [*matrix, tag("h3", "Most frequent mix-ups"), *_mix_ups(pairs)]


def _matrix(confusion: Confusion) -> Html:
    header = [("label \N{RIGHTWARDS ARROW} answer", None), *((label, "n") for label in confusion.labels)]
    rows = [
        tag("tr", tag("th", label, scope="row"), [_cell(number, sum(row)) for number in row])
        for label, row in zip(confusion.labels, confusion.counts, strict=True)
    ]
    return table(header, rows, class_="confusion")


def _cell(number: int, of: int) -> Html:
    strength = _DARKEST * number / of if of else 0
    colour = f"background:color-mix(in srgb, var(--done) {strength:.0f}%, transparent)" if number else None
    return tag("td", count(number) if number else "\N{MIDDLE DOT}", class_="n", style=colour)


def _mix_ups(pairs: Sequence[MixUp]) -> list[Html]:
    rows = [
        tag(
            "tr",
            tag("td", pair.label),
            tag("td", pair.answer),
            number_cell(pair.rows, count),
            number_cell(pair.share, percent),
        )
        for pair in pairs[:MOST_MIX_UPS]
    ]
    header = [("label", None), ("answer", None), ("rows", "n"), ("of the label", "n")]
    more = pairs[MOST_MIX_UPS:]
    rest = f"And {plural(len(more), 'other pair')}, {plural(sum(pair.rows for pair in more), 'row')} in all."
    return [
        tag("div", table(header, rows), class_="compact"),
        *([tag("p", rest, class_="quiet apart")] if more else []),
    ]
