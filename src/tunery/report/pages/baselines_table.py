"""Simple models on the same rows, and what a run or the winner of a study adds to each."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from tunery.report.markup import Html, tag
from tunery.report.pages.components import number_cell, section, table
from tunery.report.text.comparison_table import interval
from tunery.report.text.formatting import DASH, duration, metric_name, signed
from tunery.schema.results.run import Baseline, Gain

MEANINGS: Final = {
    "majority": "the most frequent labels, or the mean",
    "tfidf": "a linear model on TF-IDF",
    "probe": "a linear head on the frozen model",
}
"""What each simple model is."""


class Compared(NamedTuple):
    """Who is compared with the simple models."""

    name: str
    validation: float | None
    """Value of the objective; of cross-validation, out of fold."""
    test: float | None
    seconds: float | None


def baselines_section(baselines: Sequence[Baseline], compared: Compared, *, objective: str) -> Html | None:
    """A row for each simple model, and one for who is compared with them."""
    if not baselines:
        return None
    with_folds = any(baseline.metrics.oof is not None for baseline in baselines)
    first = "out of fold" if with_folds else "validation"
    header = [("method", None), (first, "n"), ("test", "n"), ("time", "n"), (f"{compared.name} adds", "n")]
    rows = [_row(baseline, objective) for baseline in baselines]
    own = [number_cell(compared.validation), number_cell(compared.test), number_cell(compared.seconds, duration)]
    rows.append(tag("tr", tag("td", compared.name), own, tag("td"), class_="winner"))
    note = f"{metric_name(objective)} on the same rows; below a difference, its 95\N{NO-BREAK SPACE}% interval over the"
    note += f" choice of {'' if with_folds else 'test '}rows. Time is that to train and to score."
    return section("Simple models", tag("p", note[0].upper() + note[1:], class_="quiet"), table(header, rows))


def _row(baseline: Baseline, objective: str) -> Html:
    metrics, some = baseline.metrics, ""
    if baseline.train_rows is not None:
        some = f", fitted to {baseline.train_rows:,} training rows"
    return tag(
        "tr",
        tag("td", baseline.method, tag("small", f"{MEANINGS[baseline.method]}{some}")),
        number_cell((metrics.validation if metrics.oof is None else metrics.oof).get(objective)),
        number_cell((metrics.test or {}).get(objective)),
        number_cell(baseline.seconds, duration),
        _gain_cell(baseline.gain),
    )


def _gain_cell(gain: Gain | None) -> Html:
    if gain is None:
        return number_cell(None)
    if gain.is_none:
        return tag("td", "the same answers", class_="n")
    below = interval(gain.low, gain.high, signed)
    if gain.split == "validation":
        below = "on validation"
    return tag("td", signed(gain.difference), tag("small", below) if below != DASH else None, class_="n")
