"""What a score costs."""

import math

from hypothesis import given
from hypothesis import strategies as st

from report_records import make_empty_study, make_searched_study
from tunery.report.compute.pareto_front import MOST_IN_PLANE, cost_text, pareto_trials, planes
from tunery.report.text.cost_units import COST_WORDS, unit_for, wide
from tunery.schema.config.search import COSTS
from tunery.schema.results.pareto import pareto_front
from tunery.schema.results.study import StudyResult, TrialRecord

COST = st.floats(1e6, 1e12)


def study(points: list[tuple[float, float]], direction: str = "maximize") -> StudyResult:
    """Trials of (memory, value) and their front."""
    trials = tuple(
        TrialRecord(number=i, status="completed", value=value, params={}, seconds=1, epochs=1, costs={"memory": memory})
        for i, (memory, value) in enumerate(points)
    )
    sign = -1 if direction == "maximize" else 1
    front = pareto_front({i: (memory, sign * value) for i, (memory, value) in enumerate(points)})
    plain = {"trials": trials, "front": tuple(sorted(front)), "objectives": ("f1_macro", "memory")}
    return make_empty_study(trials=0).model_copy(update={**plain, "direction": direction})


def test_every_cost_has_words():
    assert set(COST_WORDS) == set(COSTS)


@given(st.lists(st.tuples(COST, st.floats(0, 1)), min_size=1, max_size=60), st.sampled_from(["maximize", "minimize"]))
def test_stairs_hold_what_no_other_beats_and_better_costs_more(points: list[tuple[float, float]], direction: str):
    found = study(points, direction)
    (plane,) = planes(found)
    sign = 1 if direction == "maximize" else -1
    steps = [(cost, sign * value) for cost, value in plane.stairs]
    assert steps == sorted(steps) and len({value for _, value in steps}) == len(steps)
    values = {(point.cost, point.value) for point in plane.points if point.on_front}
    assert values == set(plane.stairs)


def test_of_many_trials_the_whole_front_is_drawn():
    points = [(1e9 + number * 1e6, (number % 97) / 97 + (number / 1e5)) for number in range(3000)]
    found = study(points)
    (plane,) = planes(found)
    assert (len(plane.points), plane.of) == (MOST_IN_PLANE, 3000)
    assert {point.number for point in plane.points if point.on_front} == set(found.front)


def test_costs_stand_in_a_unit_that_people_use():
    (plane,) = planes(study([(2e9, 0.5), (3e9, 0.6)]))
    assert (plane.title, plane.logarithmic, [point.cost for point in plane.points]) == (
        "peak memory (GB)",
        False,
        [2, 3],
    )
    assert unit_for([200.0, 10.0], COST_WORDS["seconds"].units) == (60, "min")
    assert wide([1.0, 11.0]) and not wide([1.0, 9.0]) and not wide([0.0, 9.0]) and not wide([])


def test_a_trial_without_a_cost_is_not_drawn_and_a_dash_in_words():
    made = study([(2e9, 0.5), (3e9, 0.9), (1e9, 0.4)])
    odd = made.trials[1].model_copy(update={"costs": {"memory": math.nan}})
    made = made.model_copy(update={"trials": (made.trials[0], odd, made.trials[2])})
    (plane,) = planes(made)
    assert [point.number for point in plane.points] == [0, 2]
    assert cost_text(made.trials[1], "memory") == "\N{EN DASH}"
    assert planes(make_empty_study().model_copy(update={"objectives": ("f1_macro", "memory")})) == ()


def test_rows_of_the_front_are_best_first():
    made = make_searched_study(60, objectives=("f1_macro", "memory", "parameters"))
    rows = pareto_trials(made)
    values = [trial.value for trial in rows]
    assert {trial.number for trial in rows} == set(made.front) and values == sorted(values, reverse=True)
    assert all(cost_text(trial, "memory").endswith("B") for trial in rows)
