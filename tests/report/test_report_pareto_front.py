"""Studies with several objectives."""

import math

from hypothesis import given
from hypothesis import strategies as st

from report_records import make_empty_study, make_searched_study
from tunery.report.compute.pareto_front import MOST_IN_PLANE, beside_text, pareto_trials, planes
from tunery.report.text.cost_units import COST_WORDS, unit_for, wide
from tunery.schema.config.search import COSTS
from tunery.schema.results.pareto import pareto_front
from tunery.schema.results.study import StudyResult, TrialRecord

COST = st.floats(1e6, 1e12)


def study(points: list[tuple[float, float]], direction: str = "maximize") -> StudyResult:
    """Trials of (memory, value) and their front."""
    trials = tuple(
        TrialRecord(
            number=i, status="completed", value=value, params={}, seconds=1, epochs=1, beside={"memory": memory}
        )
        for i, (memory, value) in enumerate(points)
    )
    sign = -1 if direction == "maximize" else 1
    front = pareto_front({i: (memory, sign * value) for i, (memory, value) in enumerate(points)})
    plain = {"trials": trials, "front": tuple(sorted(front)), "objectives": ("f1_macro", "memory")}
    directions = (direction, "minimize")
    return make_empty_study(trials=0).model_copy(update={**plain, "direction": direction, "directions": directions})


def test_every_cost_has_words():
    assert set(COST_WORDS) == set(COSTS)


@given(st.lists(st.tuples(COST, st.floats(0, 1)), min_size=1, max_size=60), st.sampled_from(["maximize", "minimize"]))
def test_stairs_hold_what_no_other_beats_and_better_costs_more(points: list[tuple[float, float]], direction: str):
    found = study(points, direction)
    (plane,) = planes(found)
    sign = 1 if direction == "maximize" else -1
    steps = [(cost, sign * value) for cost, value in plane.stairs]
    assert steps == sorted(steps) and len({value for _, value in steps}) == len(steps)
    values = {(point.x, point.value) for point in plane.points if point.on_front}
    assert values == set(plane.stairs)


def test_against_another_metric_the_front_runs_from_the_best_of_it() -> None:
    points = {0: (0.9, 0.1), 1: (0.5, 0.5), 2: (0.4, 0.4), 3: (0.1, 0.9)}  # (evidence_auprc, f1_macro)
    trials = tuple(
        TrialRecord(number=i, status="completed", value=y, params={}, seconds=1, epochs=1, beside={"evidence_auprc": x})
        for i, (x, y) in points.items()
    )
    changes = {"trials": trials, "front": (0, 1, 3), "objectives": ("f1_macro", "evidence_auprc")}
    made = make_empty_study(trials=0).model_copy(update={**changes, "directions": ("maximize", "maximize")})
    (plane,) = planes(made)
    assert plane.stairs == (points[0], points[1], points[3])
    assert (plane.title, plane.logarithmic) == ("evidence AUPRC", False)
    assert beside_text(trials[0], "evidence_auprc") == "0.9000"


def test_of_many_trials_the_whole_front_is_drawn():
    points = [(1e9 + number * 1e6, (number % 97) / 97 + (number / 1e5)) for number in range(3000)]
    found = study(points)
    (plane,) = planes(found)
    assert (len(plane.points), plane.of) == (MOST_IN_PLANE, 3000)
    assert {point.number for point in plane.points if point.on_front} == set(found.front)


def test_costs_stand_in_a_unit_that_people_use():
    (plane,) = planes(study([(2e9, 0.5), (3e9, 0.6)]))
    assert (plane.title, plane.logarithmic, [point.x for point in plane.points]) == (
        "peak memory (GB)",
        False,
        [2, 3],
    )
    assert unit_for([200.0, 10.0], COST_WORDS["seconds"].units) == (60, "min")
    assert wide([1.0, 11.0]) and not wide([1.0, 9.0]) and not wide([0.0, 9.0]) and not wide([])


def test_a_trial_without_a_cost_is_not_drawn_and_a_dash_in_words():
    made = study([(2e9, 0.5), (3e9, 0.9), (1e9, 0.4)])
    odd = made.trials[1].model_copy(update={"beside": {"memory": math.nan}})
    made = made.model_copy(update={"trials": (made.trials[0], odd, made.trials[2])})
    (plane,) = planes(made)
    assert [point.number for point in plane.points] == [0, 2]
    assert beside_text(made.trials[1], "memory") == "\N{EN DASH}"
    assert (
        planes(
            make_empty_study().model_copy(
                update={"objectives": ("f1_macro", "memory"), "directions": ("maximize", "minimize")}
            )
        )
        == ()
    )


def test_rows_of_the_front_are_best_first():
    made = make_searched_study(60, objectives=("f1_macro", "memory", "parameters"))
    rows = pareto_trials(made)
    values = [trial.value for trial in rows]
    assert {trial.number for trial in rows} == set(made.front) and values == sorted(values, reverse=True)
    assert all(beside_text(trial, "memory").endswith("B") for trial in rows)
