"""The rows that a model answers worst, to be read: wrong labels in the data are often among them."""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from tunery.report.markup import Html, join, tag
from tunery.report.pages.components import number_cell, section, table
from tunery.report.text.formatting import DASH, percent, plural
from tunery.schema.results.worst_rows import WorstRow, WorstRows

MOST_LABELS: Final = 8
"""Labels of a row that are shown before it is said how many more there are."""


def worst_rows_section(worst: WorstRows) -> Html:
    """Row, labels, answer, loss and the beginning of the text, the highest loss first."""
    header: list[tuple[str, str | None]] = [("row", None), ("label", None), ("answer", None), ("loss", "n")]
    header += [("text", None)] if worst.has_texts else []
    rows = [_row(row, with_text=worst.has_texts) for row in worst.rows]
    note = tag("p", " ".join(_notes(worst)), class_="quiet")
    return section("Worst rows", note, table(header, rows, sortable=True, class_="worst"), long=True)


def _notes(worst: WorstRows) -> Iterator[str]:
    wrong = sum(set(row.labels) != set(row.answer) for row in worst.rows)
    shown = f"{len(worst.rows):,} of {plural(worst.total, 'row')} of {worst.split} with the highest loss"
    yield f"The {shown}; {wrong:,} of them got a wrong answer. The label in the data may be wrong, too."
    yield "The percentage is the probability that the model gives a label; bold labels make the answer wrong."
    if worst.split == "test":
        yield "A model that is changed because of these rows needs other rows for an honest test."
    if not worst.has_texts:
        yield "Without texts: they were left out of the record."
    elif any(text.is_cut for row in worst.rows for text in row.texts):
        yield "A text that ends in \N{HORIZONTAL ELLIPSIS} goes on; its beginning is shown."


def _row(row: WorstRow, *, with_text: bool) -> Html:
    # <bdi> ends the direction that a text is written in
    excerpts = [
        tag("div", tag("bdi", text.text), " \N{HORIZONTAL ELLIPSIS}" if text.is_cut else None) for text in row.texts
    ]
    return tag(
        "tr",
        tag("td", tag("code", row.id)),
        tag("td", _labels(row.labels, row, but_for=row.answer)),
        tag("td", _labels(row.answer, row, but_for=row.labels)),
        number_cell(row.loss),
        tag("td", excerpts, class_="excerpt") if with_text else None,
    )


def _labels(labels: Sequence[str], row: WorstRow, *, but_for: Collection[str]) -> Html:
    """Names with their probabilities; those that make the answer wrong come first, in bold."""
    shown = [
        tag("div", name if name in but_for else tag("b", name), f" {percent(row.probabilities[name])}")
        for name in sorted(labels, key=lambda name: name in but_for)[:MOST_LABELS]
    ]
    more = len(labels) - MOST_LABELS
    return join([*shown, tag("div", f"and {more:,} more") if more > 0 else None] if labels else [DASH])
