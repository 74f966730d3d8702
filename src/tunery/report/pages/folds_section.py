"""Cross-validation on a page: how the folds differ."""

from tunery.report.markup import Html, tag
from tunery.report.pages.components import number_cell, section, table
from tunery.report.text.fold_sentence import fold_sentence
from tunery.report.text.formatting import count, duration, metric_name
from tunery.schema.results.run import RunResult


def folds_section(result: RunResult) -> Html | None:
    """None where there was none."""
    if not result.folds:
        return None
    header: list[tuple[str, str | None]] = [
        ("fold", None),
        ("rows held out", "n"),
        (metric_name(result.objective.name), "n"),
    ]
    header += [("on its validation rows", "n"), ("best epoch", "n"), ("time", "n")]
    rows = [
        tag(
            "tr",
            tag("td", str(fold.fold)),
            number_cell(fold.rows, count),
            number_cell(fold.value),
            number_cell(fold.validation),
            number_cell(fold.best_epoch, count),
            number_cell(fold.seconds.total, duration),
        )
        for fold in result.folds
    ]
    return section("Folds", tag("p", fold_sentence(result)), table(header, rows))
