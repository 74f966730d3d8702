"""One parameter at a time."""

from statistics import median

import pytest

from report_records import make_empty_study, make_searched_study, make_study
from tunery.report.compute.importance import importance_rows
from tunery.report.compute.slices import MOST_SLICES, slices
from tunery.schema.results.study import StudyResult, TrialRecord


def study(rows: list[tuple[str, float | None, dict[str, object]]]) -> StudyResult:
    trials = tuple(
        TrialRecord(number=i, status=status, value=value, params=params, seconds=1, epochs=1, history=(0.25,))
        for i, (status, value, params) in enumerate(rows)
    )
    return make_empty_study(trials=0).model_copy(update={"trials": trials})


def test_the_most_important_parameters_are_drawn_in_their_order():
    made = make_searched_study(60, params=30)
    found = slices(made)
    assert found is not None
    assert [panel.axis.name for panel in found.panels] == [row.path for row in importance_rows(made)[:MOST_SLICES]]


def test_a_trial_stands_in_the_slices_of_the_parameters_it_has_and_medians_are_of_completed_ones():
    found = slices(
        study(
            [
                ("completed", 0.5, {"peft.method": "lora", "peft.r": 4}),
                ("completed", 0.7, {"peft.method": "lora", "peft.r": 8}),
                ("pruned", None, {"peft.method": "lora", "peft.r": 8}),
                ("completed", 0.9, {"peft.method": "none"}),
                ("failed", None, {"peft.method": "none"}),
            ]
        )
    )
    assert found is not None
    by_name = {panel.axis.name: panel for panel in found.panels}
    assert [(dot.number, dot.value) for dot in by_name["peft.r"].dots] == [(0, 0.5), (1, 0.7), (2, 0.25)]
    assert by_name["peft.r"].middles == ((0.25, 0.5), (0.75, 0.7))
    assert by_name["peft.method"].middles == ((0.25, pytest.approx(0.6)), (0.75, 0.9))


def test_of_many_trials_some_are_drawn_and_medians_are_of_all():
    values = [((number * 7919) % 5003) / 5003 for number in range(4000)]
    found = slices(study([("completed", value, {"a": "xy"[i % 2]}) for i, value in enumerate(values)]))
    assert found is not None and (found.drawn, found.of) == (len(found.panels[0].dots), 4000)
    assert found.drawn < 1000
    assert found.panels[0].middles == ((0.25, median(values[::2])), (0.75, median(values[1::2])))


def test_numbers_have_no_medians_and_nothing_is_drawn_where_nothing_varies():
    found = slices(make_study(60))
    assert found is not None
    assert not next(panel for panel in found.panels if panel.axis.name == "optim.lr").middles
    assert slices(make_empty_study()) is None and slices(make_empty_study(trials=0)) is None
