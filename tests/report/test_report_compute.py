"""Numbers behind the report, checked against what a reader would count by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_records import EPOCHS, make_empty_study, make_lines, make_per_label, make_study

from tunery.report.compute import (
    MOST_POINTS,
    Series,
    class_table,
    history,
    learning_curves,
    pruning,
    run_curves,
    share_saved,
    smoothed,
    thinned,
    view_limits,
)
from tunery.schema.results import StudyResult, TrialRecord

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


def test_saved_time_is_the_trials_own_pace_times_the_epochs_not_run():
    done = trial(0, 0.5, seconds=100, epochs=8, params={"train.epochs": 10})
    stopped = trial(1, None, status="pruned", seconds=30, epochs=3, params={"train.epochs": 10})
    found = pruning(study(done, stopped), results={})
    assert (found.stopped, found.ended, found.early, found.by_epoch) == (1, 2, 1, {3: 1})
    assert found.seconds_saved == pytest.approx(10 * (0.8 * 10 - 3))


def test_nothing_is_estimated_without_a_completed_trial():
    assert pruning(study(trial(0, None, status="pruned", epochs=1)), results={}).seconds_saved is None


def test_a_large_study_saves_about_what_its_pruned_trials_did_not_run():
    made = make_study(200)
    stopped = [t for t in made.trials if t.status == "pruned"]
    exact = sum(t.seconds / t.epochs * (EPOCHS - t.epochs) for t in stopped)
    assert pruning(made, results={}).seconds_saved == pytest.approx(exact)


@given(st.lists(NUMBERS, min_size=1), st.sampled_from(["maximize", "minimize"]))
def test_limits_always_hold_the_best_value_and_count_what_they_leave_out(values, direction):
    limits = view_limits(values, direction)
    best = max(values) if direction == "maximize" else min(values)
    assert limits.low < limits.high
    assert limits.low <= best <= limits.high
    assert limits.hidden == sum(not limits.low <= value <= limits.high for value in values)


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
