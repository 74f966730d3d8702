"""Which labels a model takes for which others: the confusion matrix, and its most frequent mix-ups."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tunery.report.pages.components import number_cell, table
from tunery.report.pages.markup import Html, tag
from tunery.report.text.formatting import percent, plural

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


def mix_ups(found: Confusion) -> list[MixUp]:
    """Every pair of labels that was mixed up, the most frequent first; of equals the one that is more of its label."""
    pairs = [
        MixUp(label, answer, count, count / sum(row))
        for label, row in zip(found.labels, found.counts, strict=True)
        for answer, count in zip(found.labels, row, strict=True)
        if count and answer != label
    ]
    return sorted(pairs, key=lambda pair: (-pair.rows, -pair.share))


def confusion_parts(metrics: Mapping[str, Any]) -> list[Html]:
    """The matrix, where it can be read, and the most frequent mix-ups; nothing where the metrics have no matrix."""
    found = confusion_of(metrics)
    if found is None:
        return []
    pairs = mix_ups(found)
    if not pairs:
        return [tag("p", "No row got a wrong label.", class_="quiet apart")]
    matrix = [tag("h3", "Confusion matrix"), _matrix(found)] if len(found.labels) <= MOST_LABELS else []
    return [*matrix, tag("h3", "Most frequent mix-ups"), *_mix_ups(pairs)]


def _matrix(found: Confusion) -> Html:
    header = [("label \N{RIGHTWARDS ARROW} answer", None), *((label, "n") for label in found.labels)]
    rows = [
        tag("tr", tag("th", label, scope="row"), [_cell(count, sum(row)) for count in row])
        for label, row in zip(found.labels, found.counts, strict=True)
    ]
    return table(header, rows, class_="confusion")


def _cell(count: int, of: int) -> Html:
    strength = _DARKEST * count / of if of else 0
    colour = f"background:color-mix(in srgb, var(--done) {strength:.0f}%, transparent)" if count else None
    return tag("td", f"{count:,}" if count else "\N{MIDDLE DOT}", class_="n", style=colour)


def _mix_ups(pairs: Sequence[MixUp]) -> list[Html]:
    rows = [
        tag(
            "tr",
            tag("td", pair.label),
            tag("td", pair.answer),
            number_cell(pair.rows, f"{pair.rows:,}"),
            number_cell(pair.share, percent(pair.share)),
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
