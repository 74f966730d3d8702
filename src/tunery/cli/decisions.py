"""What `tunery threshold` prints: each label before and after, then the metrics."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from tunery.cli.show import plain
from tunery.report.compute.run_and_study import scalars
from tunery.report.text.formatting import score
from tunery.terminal import Terminal, write_json

if TYPE_CHECKING:
    from tunery.train.predict.deciding import Decided

_COLUMNS: Final = ("threshold", "precision", "recall", "f1")


def show_decisions(decided: "Decided", *, as_json: bool) -> None:
    """How a model decides on validation, out of fold, and how it did before."""
    if as_json:
        write_json(
            {
                "model": str(decided.folder),
                "written": decided.is_written,
                "decisions": decided.decisions,
                "thresholds": decided.state.get("thresholds"),
                "validation": {"before": decided.before, "after": decided.metrics},
            }
        )
        return
    before, after = decided.before["per_label"], decided.metrics["per_label"]
    columns = [column for column in _COLUMNS if any(column in row for row in after.values())]
    labels = Table("label", "rows", *columns, box=None, pad_edge=False)
    for label, row in after.items():
        cells = [_changed(before[label].get(column), row.get(column)) for column in columns]
        labels.add_row(plain(label), str(row["support"]), *cells)
    metrics = Table("validation", "", box=None, pad_edge=False)
    for name in _names(decided.metrics, decided.before):
        metrics.add_row(name, _changed(decided.before.get(name), decided.metrics.get(name)))
    terminal = Terminal()
    terminal.print(labels)
    terminal.say()
    terminal.print(metrics)
    terminal.say(f"of {decided.rows}")
    if not decided.is_written:
        terminal.say("nothing was written")


def _names(*metrics: Mapping[str, Any]) -> list[str]:
    return [*dict.fromkeys(name for some in metrics for name in scalars(some))]


def _changed(before: Any, after: Any) -> str:
    old, new = score(before), score(after)
    return new if old == new else f"{old} -> {new}"
