"""In what order parameters are shown."""

import random

import pytest

from report_records import make_empty_study
from tunery.report.compute.importance import evaluators, importance_rows, most_important, relatedness, varying
from tunery.report.compute.parameter_axes import Missing
from tunery.schema.results.study import Importance, StudyResult


def study(**shares: dict[str, float]) -> StudyResult:
    found = {
        name: tuple(Importance(path=path, share=share, trials=20) for path, share in rows.items())
        for name, rows in shares.items()
    }
    return make_empty_study().model_copy(update={"importance": found})


def test_relatedness_is_one_for_a_cause_and_about_zero_for_noise():
    draw = random.Random(2)
    values = [draw.random() for _ in range(400)]
    assert relatedness([value > 0.5 for value in values], values) > 0.7
    assert abs(relatedness([draw.random() for _ in values], values)) < 0.05
    assert relatedness(["same"] * 400, values) == pytest.approx(0)


def test_parameters_are_ordered_by_the_mean_of_those_evaluators_that_judged_them():
    found = study(
        fanova={"optim.lr": 0.9, "peft.r": 0.1}, ped_anova={"optim.lr": 0.2, "peft.r": 0.1, "peft.lora.alpha": 0.7}
    )
    assert evaluators(found) == ["ped_anova", "fanova"]
    rows = importance_rows(found)
    assert [row.path for row in rows] == ["peft.lora.alpha", "optim.lr", "peft.r"]
    assert [row.shares for row in rows] == [(0.7, None), (0.2, 0.9), (0.1, 0.1)]


def test_an_evaluator_that_found_nothing_has_no_column():
    assert evaluators(study(ped_anova={"optim.lr": 1.0}, fanova={})) == ["ped_anova"]
    assert importance_rows(study()) == []


def test_without_evaluators_what_explains_the_values_comes_first():
    draw = random.Random(4)
    values = [draw.random() for _ in range(5000)]
    columns = {"noise": [draw.random() for _ in values], "cause": [value > 0.5 for value in values]}
    assert most_important(study(), columns, values) == ["cause", "noise"]
    judged = study(ped_anova={"noise": 0.9, "gone": 0.1})
    assert most_important(judged, columns, values) == ["noise", "cause"]


def test_a_parameter_varies_if_some_trials_lack_it():
    found = varying([{"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 3}])
    assert found == {"b": [2, 3], "c": [3, Missing]}
    assert varying([]) == {} and varying([{"a": 1}]) == {}
