"""Parallel coordinates: kinds of axes, gaps, and which axes are drawn."""

import random

import pytest
from report_records import make_empty_study, make_study

from tunery.report.parallel import MOST_AXES, MOST_CATEGORIES, SHADES, Axis, parallel, relatedness
from tunery.schema.results import StudyResult, TrialRecord


def study(params: list[dict[str, object]], values: list[float] | None = None, **changes: object) -> StudyResult:
    trials = tuple(
        TrialRecord(number=i, status="completed", value=values[i] if values else i / 100, params=p, seconds=1, epochs=1)
        for i, p in enumerate(params)
    )
    return make_empty_study(trials=0).model_copy(update={"trials": trials, **changes})


def axis(name: str, values: list[object]) -> Axis:
    found = parallel(study([{} if v is ... else {name: v} for v in values]))
    assert found is not None
    return found.axes[0]


def test_log_uniform_numbers_get_a_logarithmic_axis_and_uniform_ones_a_linear_axis():
    draw = random.Random(0)
    assert axis("optim.lr", [10 ** draw.uniform(-5, -3) for _ in range(50)]).kind == "log"
    assert axis("peft.dropout", [draw.uniform(0, 0.2) for _ in range(50)]).kind == "linear"


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


def test_nothing_is_drawn_where_nothing_varies():
    assert parallel(study([{"optim.lr": 1e-3}] * 3)) is None
    assert parallel(study([{"optim.lr": 1e-3}])) is None
    assert parallel(study([])) is None


def test_the_axes_most_related_to_the_objective_are_drawn():
    draw = random.Random(1)
    values = [draw.random() for _ in range(80)]
    noise = [{f"noise.n{i:02d}": draw.random() for i in range(12)} for _ in values]
    found = parallel(study([{**row, "optim.lr": v**2} for row, v in zip(noise, values, strict=True)], values))
    assert found is not None
    assert "optim.lr" in [axis.name for axis in found.axes]
    assert (len(found.axes), len(found.left_out)) == (MOST_AXES + 1, 5)


def test_relatedness_is_one_for_a_cause_and_about_zero_for_noise():
    draw = random.Random(2)
    values = [draw.random() for _ in range(400)]
    assert relatedness([value > 0.5 for value in values], values) > 0.7
    assert abs(relatedness([draw.random() for _ in values], values)) < 0.05
    assert relatedness(["same"] * 400, values) == pytest.approx(0)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_best_trials_have_the_strongest_colour(direction):
    values = [i / 60 for i in range(60)]
    found = parallel(study([{"optim.lr": v + 1} for v in values], values, direction=direction))
    assert found is not None
    shades = [line.shade for line in found.lines]
    ends = (0, SHADES - 1) if direction == "maximize" else (SHADES - 1, 0)
    assert (shades[0], shades[-1]) == ends


def test_every_position_of_a_large_study_lies_on_its_axis():
    found = parallel(make_study(300))
    assert found is not None
    positions = [position for axis in found.axes for position in axis.positions if position is not None]
    assert all(0 <= position <= 1 for position in positions)
    assert {len(axis.positions) for axis in found.axes} == {len(found.lines)}
