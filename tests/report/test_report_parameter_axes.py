"""Kinds of axes, and where values stand on them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.report.compute.parameter_axes import MOST_CATEGORIES, Axis, Missing, Scale, parameter_axis


def axis(name: str, values: list[object]) -> Axis:
    return parameter_axis(name, [Missing if value is ... else value for value in values])


def test_log_uniform_numbers_get_a_logarithmic_axis_and_uniform_ones_a_linear_axis():
    draw = random.Random(0)
    assert axis("optim.lr", [10 ** draw.uniform(-5, -3) for _ in range(50)]).kind == "log"
    assert axis("peft.dropout", [draw.uniform(0, 0.2) for _ in range(50)]).kind == "linear"


def test_few_values_stand_on_the_scale_they_were_searched_on():
    rates = parameter_axis("optim.lr", [2e-4, 2e-3, 2e-4 * 10**0.5], scale="log")
    assert rates.kind == "log" and rates.positions == (0.0, 1.0, pytest.approx(0.5))
    assert [text for _, text in rates.ticks] == ["2.0e-04", "1e-03", "2.0e-03"]
    assert parameter_axis("train.epochs", [2, 8, 5], scale="linear").positions == (0.0, 1.0, 0.5)
    assert parameter_axis("peft.r", list(range(1, 20)), scale="category").kind == "category"
    assert parameter_axis("optim.lr", [1e-3, 1e-3], scale="log").positions == (0.5, 0.5)
    assert parameter_axis("optim.lr", [0.0, "high"], scale="log").kind == "category"


def test_positions_follow_the_scale():
    found = axis("optim.lr", [1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3])
    assert found.positions[0] == 0
    assert found.positions[3] == pytest.approx(0.5)
    assert found.positions[-1] == pytest.approx(1)


def test_a_missing_conditional_parameter_is_a_gap_and_null_is_a_value():
    found = axis("peft.r", [4, ..., None, 8, 16, ...])
    assert [position is None for position in found.positions] == [False, True, False, False, False, True]
    assert [text for _, text in found.ticks] == ["4", "8", "16", "null"]


def test_lists_and_truth_values_are_categories():
    assert [text for _, text in axis("peft.target", [["query", "value"], ["query"]]).ticks] == ["query", "query, value"]
    assert [text for _, text in axis("optim.nesterov", [True, False]).ticks] == ["false", "true"]


def test_rare_categories_share_one_place():
    found = axis("model.name", [f"model {i:02d}" for i in range(30)] + ["model 00"])
    assert len(found.ticks) == MOST_CATEGORIES + 1
    assert found.ticks[-1][1] == "other"


@pytest.mark.parametrize("scale", [None, "linear", "log", "category"])
@given(values=st.lists(st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.just(...), min_size=1))
def test_whatever_the_values_are_every_trial_that_has_one_stands_on_the_axis(values: list[object], scale: Scale | None):
    if all(value is ... for value in values):
        return
    found = parameter_axis("x", [Missing if value is ... else value for value in values], scale=scale)
    assert [position is None for position in found.positions] == [value is ... for value in values]
    assert all(0 <= position <= 1 for position in found.positions if position is not None)
    assert all(0 <= position <= 1 for position, _ in found.ticks)
