"""Numbers behind the report, checked against what a reader would count by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from report_records import make_empty_study, make_lines, make_per_label
from tunery.report.compute.run_and_study import (
    MOST_CURVES,
    MOST_POINTS,
    MOST_TRIALS,
    Series,
    class_table,
    history,
    learning_curves,
    run_curves,
    share_saved,
    smoothed,
    thinned,
    view_limits,
    within,
)
from tunery.schema.results.study import StudyResult, TrialRecord

NUMBERS = st.floats(min_value=-1e6, max_value=1e6)


def trial(number: int, value: float | None, **changes: object) -> TrialRecord:
    plain = {"status": "completed", "params": {}, "seconds": 10.0, "epochs": 2.0} | changes
    return TrialRecord(number=number, value=value, **plain)


def study(*trials: TrialRecord, direction: str = "maximize") -> StudyResult:
    return make_empty_study(trials=0).model_copy(update={"trials": trials, "direction": direction})


@pytest.mark.parametrize(
    ("direction", "best"),
    [("maximize", ((0, 0.5), (2, 0.7), (4, 0.7))), ("minimize", ((0, 0.5), (3, 0.1), (4, 0.1)))],
)
def test_best_so_far_moves_one_way_and_counts_completed_trials_only(direction, best):
    shuffled = [
        trial(3, 0.1),
        trial(0, 0.5),
        trial(2, 0.7),
        trial(1, 0.99 if direction == "maximize" else 0.0, status="pruned"),
        trial(4, None, status="failed"),
    ]
    assert history(study(*shuffled, direction=direction)).best == best


def test_a_pruned_trial_stands_at_its_best_epoch():
    found = history(study(trial(0, None, status="pruned", history=(0.3, None, 0.2))))
    assert [(point.number, point.value) for point in found.points] == [(0, 0.3)]


def test_learning_curves_keep_gaps_and_say_where_a_trial_was_pruned():
    found = learning_curves(
        study(trial(0, 0.5, history=(0.1, None, 0.5)), trial(1, None, status="pruned", history=(0.1, 0.2)))
    )
    assert [(curve.values, curve.stopped_at) for curve in found.curves] == [((0.1, None, 0.5), None), ((0.1, 0.2), 2)]


def test_a_long_history_is_sampled_and_keeps_what_its_line_rests_on():
    values = [((number * 7919) % 5003) / 5003 for number in range(5000)]
    found = history(study(*(trial(number, value) for number, value in enumerate(values))))
    drawn = {point.number for point in found.points}
    assert (len(found.points), found.of) == (MOST_TRIALS, 5000)
    assert {number for number, _ in found.best[:-1]} <= drawn and found.best[-1] == (4999, max(values))


def test_of_many_learning_curves_the_best_are_drawn():
    made = [trial(number, None, history=(number / 1000,)) for number in range(1000)]
    found = learning_curves(study(*made))
    drawn = {curve.number for curve in found.curves}
    assert (len(drawn), found.of) == (MOST_CURVES, 1000) and drawn > set(range(900, 1000))


@given(st.lists(NUMBERS, min_size=1), st.sampled_from(["maximize", "minimize"]))
def test_limits_always_hold_the_best_value_and_count_what_they_leave_out(values, direction):
    limits = view_limits(values, direction)
    best = max(values) if direction == "maximize" else min(values)
    assert limits.low < limits.high
    assert limits.low <= best <= limits.high
    assert limits.hidden == sum(not limits.low <= value <= limits.high for value in values)


@given(st.lists(NUMBERS, min_size=1), st.sampled_from(["maximize", "minimize"]))
def test_values_outside_the_limits_move_to_the_edge_and_the_others_stay(values, direction):
    limits = view_limits(values, direction)
    moved = within(values, limits)
    assert all(limits.low <= value <= limits.high for value in moved)
    kept = [pair for pair in zip(values, moved, strict=True) if limits.low <= pair[0] <= limits.high]
    assert all(before == after for before, after in kept)


def test_one_diverged_trial_does_not_flatten_the_others():
    limits = view_limits([0.3, 0.31, 0.35, 0.4, 0.5, 80.0], "minimize")
    assert limits.hidden == 1
    assert limits.high < 1


def test_share_saved_needs_something_written():
    assert share_saved(3, 100) == 0.97
    assert share_saved(0, 0) is None


def test_class_table_reads_the_tasks_metrics_and_refuses_other_shapes():
    import random

    found = class_table({"per_label": make_per_label(["a", "b"], random.Random(0))})
    assert found is not None
    assert found.columns == ("precision", "recall", "f1", "support")
    assert [label for label, _ in found.rows] == ["a", "b"]
    assert class_table({}) is None
    assert class_table({"per_label": [0.1]}) is None


def test_run_curves_take_the_loss_and_the_validation_metrics():
    found = run_curves(make_lines())
    assert found.unit == "epoch"
    assert set(found.validation) == {"f1_macro", "loss"}
    assert found.train_loss is not None and found.smooth_loss is not None
    assert found.rate is not None and max(y for y in found.rate.y if y is not None) <= 1e-3
    assert found.validation["f1_macro"].x == (1, 2, 3, 4, 5)


def test_run_curves_of_nothing_and_of_null_values():
    assert run_curves([]).train_loss is None
    found = run_curves([{"step": 1, "epoch": None, "name": "train/loss", "value": None}])
    assert (found.unit, found.train_loss) == ("step", Series((1.0,), (None,)))


@given(st.lists(st.none() | NUMBERS, min_size=1, max_size=3 * MOST_POINTS))
def test_thinning_and_smoothing_stay_within_the_values(values):
    series = Series(tuple(map(float, range(len(values)))), tuple(values))
    known = [value for value in values if value is not None]
    for drawn in (thinned(series), smoothed(series)):
        assert all(min(known) - 1e-6 <= y <= max(known) + 1e-6 for y in drawn.y if y is not None)
    assert len(thinned(series).x) <= MOST_POINTS
    assert len(smoothed(series).y) == len(values)
