"""What stopping early saved, counted by hand."""

import pytest

from tunery.hpo.analysis.stopped_early import pruned_by_epoch, seconds_saved
from tunery.schema.results.study import TrialRecord


def trial(number: int = 0, status: str = "pruned", **changes: object) -> TrialRecord:
    plain = {"value": None, "params": {}, "seconds": 10.0, "epochs": 2.0} | changes
    return TrialRecord(number=number, status=status, **plain)


def test_saved_time_is_the_trials_own_pace_times_the_epochs_not_run():
    done = trial(0, "completed", value=0.5, seconds=100, epochs=8, params={"train.epochs": 10})
    stopped = trial(1, seconds=30, epochs=3, params={"train.epochs": 20})
    assert seconds_saved([done, stopped], epochs=99) == pytest.approx(10 * (0.8 * 20 - 3))


def test_a_trial_that_does_not_choose_its_epochs_has_those_of_the_study():
    done = trial(0, "completed", value=0.5, seconds=100, epochs=8, params={"train.epochs": 10})
    assert seconds_saved([done, trial(1, seconds=5, epochs=1)], epochs=5) == pytest.approx(5 * (0.8 * 5 - 1))


def test_a_completed_trial_ran_no_more_than_all_of_its_epochs():
    done = trial(0, "completed", value=0.5, seconds=100, epochs=4, params={"train.epochs": 2})
    assert seconds_saved([done, trial(1, seconds=5, epochs=1)], epochs=5) == pytest.approx(5 * (5 - 1))


def test_nothing_is_estimated_without_a_completed_trial():
    assert seconds_saved([trial(), trial(1, "failed")], epochs=3) is None


def test_a_begun_epoch_counts_and_rounding_begins_none():
    assert pruned_by_epoch([trial(epochs=2.0000000001), trial(epochs=2.4), trial(epochs=0)]) == {0: 1, 2: 1, 3: 1}
