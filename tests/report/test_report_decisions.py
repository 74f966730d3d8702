"""A page says by what labels are decided and what errors cost."""

from typing import Any

import pytest

from page_reader import Page
from tunery.report.pages.task_sections import task_sections
from tunery.report.text.decision_sentences import decision_sentence
from tunery.schema.config.decision import AtLeastThreshold, Costs, FixedThreshold
from tunery.schema.config.task import ClassificationTask, MultilabelTask, TaskSpec

COSTS: list[tuple[TaskSpec, list[list[str]]]] = [
    (MultilabelTask(costs=Costs(missed=5, wrong=1)), [["all labels", "5", "1"]]),
    (MultilabelTask(costs=Costs(missed={"a": 5, "b": 2.5}, wrong=1)), [["a", "5", "1"], ["b", "2.5", "1"]]),
    (
        ClassificationTask.model_validate({"costs": {"low": {"high": 3}, "high": {"low": 1}}}),
        [["low", "3", "–"], ["high", "–", "1"]],
    ),
]


@pytest.mark.parametrize(("spec", "lines"), COSTS)
def test_costs_are_a_table(spec: TaskSpec, lines: list[list[str]]) -> None:
    page = "".join(map(str, task_sections({"task": spec.model_dump(mode="json")}, {}, title="Test")))
    assert "expected cost of errors is lowest" in page
    assert Page(page).text_of("td") == [cell for line in lines for cell in line]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (MultilabelTask(), "Each label is given from a threshold of its own on, found on validation."),
        (
            MultilabelTask(threshold=FixedThreshold(value={"a": 0.25, "b": 0.5})),
            "Labels are given from fixed thresholds on (value a 0.25, b 0.5).",
        ),
        (
            MultilabelTask(threshold=AtLeastThreshold(precision=0.9)),
            "Labels are given from the thresholds on that reach what was asked for on validation (precision 0.9).",
        ),
        (ClassificationTask(), None),
    ],
)
def test_thresholds_are_told_in_words(spec: TaskSpec, said: str | None) -> None:
    assert decision_sentence(spec.model_dump(mode="json")) == said


@pytest.mark.parametrize("threshold", ["tuned", 0.3, None, {}])
def test_records_of_earlier_versions_say_nothing(threshold: Any) -> None:
    assert decision_sentence({"kind": "multilabel", "threshold": threshold}) is None
