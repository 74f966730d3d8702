"""Numbers that a model gives, on the page."""

from typing import Any

import pytest

from page_reader import checked
from report_records import make_run
from tunery.report import run_html
from tunery.report.pages.task_sections import task_sections
from tunery.schema.results.run import NumberSummary

CONFIG: dict[str, Any] = {"task": {"kind": "regression"}}
POINTS = [[float(n), n + (-1) ** n / 2] for n in range(20)]


def shown(metrics: dict[str, Any]) -> str:
    return "".join(task_sections(CONFIG, metrics, title="Test"))


def test_numbers_are_drawn_with_the_line_of_right_ones_and_the_ends_of_intervals() -> None:
    page = shown({"points": POINTS, "interval_coverage": 0.85, "interval_width": 3.0})
    assert page.count("<svg") == 2 and "row by row" in page and "Dashed: the ends of the intervals." in page
    assert "85 % of the rows have their number inside its interval" in page.replace("\N{NO-BREAK SPACE}", " ")
    assert page.count("dasharray") > shown({"points": POINTS}).count("dasharray")


def test_without_intervals_nothing_is_said_of_them() -> None:
    page = shown({"points": POINTS, "interval_coverage": None, "interval_width": None})
    assert "interval" not in page and page.count("<svg") == 2


@pytest.mark.parametrize(
    "points", [[], None, "text", [1, 2], [[1.0]], [[1.0, None], ["a", 2.0]], [[1.0, float("nan")]]]
)
def test_records_that_are_not_whole_are_no_error(points: Any) -> None:
    assert "<svg" not in shown({"points": points})


@pytest.mark.parametrize("points", [[[1.0, 1.0]], [[2.0, 2.0]] * 3, [[1e99, -1e99], [0.0, 1e-99]]])
def test_any_numbers_can_be_drawn(points: Any) -> None:
    assert "<svg" in shown({"points": points, "interval_width": 0.0, "interval_coverage": 1.0})


def test_levels_have_a_table_and_a_confusion_matrix() -> None:
    per_label = {str(n): {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2, "predicted": 2} for n in (1, 2)}
    page = shown(
        {"per_label": per_label, "confusion_matrix": [[1, 1], [1, 1]], "interval_coverage": 1.0, "interval_width": 1.0}
    )
    assert "Confusion matrix" in page and "intervals are 1.0000 wide" in page and "<svg" not in page


def test_a_run_has_them_on_its_page() -> None:
    metrics = {"spearman": 0.9, "mse": 12.5, "points": POINTS, "interval_coverage": 0.9, "interval_width": 2.0}
    run = make_run()
    config = {**run.config, **CONFIG}
    changed = run.model_copy(
        update={"config": config, "metrics": run.metrics.model_copy(update={"validation": metrics, "test": metrics})}
    )
    page = checked(run_html(changed, metrics=[]))
    assert "Test, row by row" in page.text_of("h3")


def test_the_numbers_of_each_split_are_told() -> None:
    run = make_run()
    assert run.data is not None
    summary = NumberSummary(lowest=-1.5, highest=4.25, mean=2.0, standard_deviation=0.5)
    splits = {
        name: split.model_copy(update={"labels": {}, "numbers": summary}) for name, split in run.data.splits.items()
    }
    page = checked(
        run_html(run.model_copy(update={"data": run.data.model_copy(update={"splits": splits})}), metrics=[])
    )
    told = [text for _, text in page.texts]
    assert told.count("-1.5000") == told.count("4.2500") == len(splits) and "standard deviation" in told
