"""Parallel coordinates: which axes and which lines are drawn."""

import random

import pytest

from report_records import make_empty_study, make_searched_study, make_study
from tunery.report.compute.importance import importance_rows
from tunery.report.compute.parallel import MOST_AXES, MOST_LINES, SHADES, parallel
from tunery.schema.results.study import StudyResult, TrialRecord


def study(params: list[dict[str, object]], values: list[float] | None = None, **changes: object) -> StudyResult:
    trials = tuple(
        TrialRecord(number=i, status="completed", value=values[i] if values else i / 100, params=p, seconds=1, epochs=1)
        for i, p in enumerate(params)
    )
    return make_empty_study(trials=0).model_copy(update={"trials": trials, **changes})


def test_nothing_is_drawn_where_nothing_varies():
    assert parallel(study([{"optim.lr": 1e-3}] * 3)) is None
    assert parallel(study([{"optim.lr": 1e-3}])) is None
    assert parallel(study([])) is None


def test_what_the_study_found_important_decides_which_axes_are_drawn():
    made = make_searched_study(60, params=30)
    found = parallel(made)
    assert found is not None
    ordered = [row.path for row in importance_rows(made)]
    assert {axis.name for axis in found.axes[:-1]} == set(ordered[:MOST_AXES])
    assert set(found.left_out) == set(ordered[MOST_AXES:])


def test_of_many_trials_the_best_and_some_others_are_drawn():
    values = [((number * 7919) % 5003) / 5003 for number in range(3000)]
    found = parallel(study([{"optim.lr": value + 1} for value in values], values))
    assert found is not None
    best = sorted(range(3000), key=lambda number: -values[number])[:100]
    assert (len(found.lines), found.of) == (MOST_LINES, 3000)
    assert {len(axis.positions) for axis in found.axes} == {MOST_LINES}
    assert set(best) < {line.number for line in found.lines}
    assert {line.shade for line in found.lines} == set(range(SHADES))


def test_the_axes_most_related_to_the_objective_are_drawn():
    draw = random.Random(1)
    values = [draw.random() for _ in range(80)]
    noise = [{f"noise.n{i:02d}": draw.random() for i in range(12)} for _ in values]
    found = parallel(study([{**row, "optim.lr": v**2} for row, v in zip(noise, values, strict=True)], values))
    assert found is not None
    assert "optim.lr" in [axis.name for axis in found.axes]
    assert (len(found.axes), len(found.left_out)) == (MOST_AXES + 1, 5)


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
