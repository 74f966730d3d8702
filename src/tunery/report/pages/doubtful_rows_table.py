"""The training rows that the models of other rows doubt, to be gone through by a person."""

from collections.abc import Iterator, Sequence

from tunery.report.markup import Html, join, prose, tag
from tunery.report.pages.components import number_cell, section, table
from tunery.report.text.formatting import DASH, plural
from tunery.schema.results.doubtful_rows import DoubtfulRow, DoubtfulRows


def doubtful_rows_section(doubtful: DoubtfulRows) -> Html:
    """Row, labels as they are and as they probably should be, why, and the beginning of the text."""
    header: list[tuple[str, str | None]] = [("row", None), ("label", None), ("more probable", None)]
    header += [("probability of the label", "n"), ("why", None)]
    header += [("text", None)] if doubtful.has_texts else []
    rows = [_row(row, with_text=doubtful.has_texts) for row in doubtful.rows]
    return section(
        "Training rows to look at",
        tag("p", " ".join(_notes(doubtful)), class_="quiet"),
        tag("ul", [tag("li", prose(finding)) for finding in doubtful.findings]) if doubtful.findings else None,
        table(header, rows, sortable=True, class_="worst") if rows else None,
        long=True,
    )


def _notes(doubtful: DoubtfulRows) -> Iterator[str]:
    of = plural(doubtful.of, "row")
    yield f"Each row was judged by a model that was not trained on it: {doubtful.total:,} of {of} are worth a look."
    if len(doubtful.rows) < doubtful.total:
        yield f"The first {len(doubtful.rows):,} are shown."
    if doubtful.total:
        yield "All of them in a file: tunery check CONFIG --deep --by RUN."
        yield "Not every row that is named is wrong. A label that is corrected needs a new run."
    if doubtful.rows and not doubtful.has_texts:
        yield "Without texts: they were left out of the record."


def _row(row: DoubtfulRow, *, with_text: bool) -> Html:
    # <bdi> ends the direction that a text is written in
    excerpts = [
        tag("div", tag("bdi", text.text), " \N{HORIZONTAL ELLIPSIS}" if text.is_cut else None) for text in row.texts
    ]
    return tag(
        "tr",
        tag("td", tag("code", row.id)),
        tag("td", _names(row.given)),
        tag("td", DASH if row.suggested is None else _names(row.suggested)),
        number_cell(row.given_probability),
        tag("td", "; ".join(row.reasons)),
        tag("td", excerpts, class_="excerpt") if with_text else None,
    )


def _names(names: Sequence[str]) -> Html:
    return join([tag("div", name) for name in names] or [tag("i", "none")])
