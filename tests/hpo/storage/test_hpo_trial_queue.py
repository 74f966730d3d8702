"""Who does which trial, in a file: one process, several threads."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tunery.errors import RequestError
from tunery.hpo.storage.database import close_study, open_study, sqlite_url
from tunery.hpo.storage.trial_queue import TrialQueue


@pytest.fixture
def study(tmp_path: Path) -> Iterator[optuna.Study]:
    study = open_study(sqlite_url(tmp_path), name="study", directions=["maximize"])
    yield study
    close_study(study)


def queue_of(study: optuna.Study, *, n_trials: int = 3) -> TrialQueue:
    queue = TrialQueue(study, worker="here", shared=False)
    queue.enqueue(n_trials)
    return queue


def states(study: optuna.Study) -> list[tuple[int, str]]:
    return [(trial.number, trial.state.name) for trial in study.get_trials(deepcopy=False)]


def test_trials_are_numbered_and_no_more_than_asked_for(study: optuna.Study) -> None:
    queue = queue_of(study, n_trials=2)
    assert queue.open()
    for number in (0, 1):
        trial = queue.claim()
        assert trial is not None and trial.number == number
        assert queue.tell(trial, TrialState.COMPLETE, [number / 2])
    assert queue.claim() is None and not queue.open()
    assert states(study) == [(0, "COMPLETE"), (1, "COMPLETE")] and study.best_value == 0.5
    assert all(trial.duration is not None for trial in study.trials)

    queue.enqueue(3)
    assert queue.open()
    third = queue.claim()
    assert third is not None and third.number == 2 and queue.open()


def test_what_a_dead_process_left_comes_first_with_all_it_had(study: optuna.Study) -> None:
    dead = queue_of(study)
    ended, left = dead.claim(), dead.claim()
    assert ended is not None and left is not None
    dead.tell(ended, TrialState.FAIL)
    left.suggest_float("x", 0.0, 1.0)
    assert dead.write(left, {"params": {"x": 0.5}})

    queue = queue_of(study)
    first, second, third = queue.claim(), queue.claim(), queue.claim()
    assert first is not None and second is not None and third is None
    assert (first.number, first.params, first.user_attrs["params"]) == (1, left.params, {"x": 0.5})
    assert second.number == 2


def test_a_trial_is_told_once_and_by_who_has_it(study: optuna.Study) -> None:
    before = queue_of(study, n_trials=1)
    trial = before.claim()
    assert trial is not None
    again = queue_of(study, n_trials=1).claim()
    assert again is not None and again.number == trial.number == 0
    assert not before.write(trial, {"params": {"x": 1}})
    assert not before.tell(trial, TrialState.COMPLETE, [1.0])
    assert states(study) == [(0, "RUNNING")] and "params" not in study.trials[0].user_attrs


def test_telling_twice_does_nothing(study: optuna.Study) -> None:
    queue = queue_of(study)
    trial = queue.claim()
    assert trial is not None
    assert queue.tell(trial, TrialState.COMPLETE, [1.0])
    assert not queue.tell(trial, TrialState.FAIL)
    assert states(study) == [(0, "COMPLETE")] and study.best_value == 1.0


def test_what_was_lost_comes_before_what_was_put_back_and_each_in_order(study: optuna.Study) -> None:
    dead = queue_of(study)
    back, *_ = [dead.claim() for _ in range(3)]
    assert back is not None and dead.release(back)
    queue = queue_of(study)
    taken = [queue.claim() for _ in range(4)]
    assert [trial and trial.number for trial in taken] == [1, 2, 0, None]


def test_a_trial_that_was_put_back_is_taken_before_a_new_one(study: optuna.Study) -> None:
    queue = queue_of(study)
    trial = queue.claim()
    assert trial is not None and queue.release(trial)
    again = queue.claim()
    assert again is not None and again.number == 0
    assert queue.tell(again, TrialState.COMPLETE, [1.0])


def test_threads_take_and_tell_every_trial_once(study: optuna.Study) -> None:
    queue = queue_of(study, n_trials=40)

    def work() -> list[int]:
        told = []
        while (trial := queue.claim()) is not None:
            with queue.holding(trial) as taken:
                trial.suggest_float("x", 0.0, 1.0)
                if not taken() and queue.tell(trial, TrialState.COMPLETE, [0.0]):
                    told.append(trial.number)
        return told

    with ThreadPoolExecutor(4) as pool:
        told = [number for future in [pool.submit(work) for _ in range(4)] for number in future.result()]
    assert sorted(told) == list(range(40)) and states(study) == [(number, "COMPLETE") for number in range(40)]


def test_a_sampler_sees_all_that_is_known_when_a_trial_is_taken(study: optuna.Study) -> None:
    queue = queue_of(study)
    first = queue.claim()
    assert first is not None and len(study._get_trials(deepcopy=False, use_cache=True)) == 1
    queue.claim()
    assert len(study._get_trials(deepcopy=False, use_cache=True)) == 2


def test_a_study_of_an_older_version_goes_on(tmp_path: Path) -> None:
    """It has no table of leases: its first trial has completed, the second was left running, the third put back."""
    with closing(sqlite3.connect(tmp_path / "study.db")) as database:
        database.executescript(Path(__file__).with_name("older_study.sql").read_text())
    study = open_study(sqlite_url(tmp_path), name="older", directions=["maximize"])
    queue = TrialQueue(study, worker="here", shared=False)
    assert queue.open() and study.best_value == 0.75
    left, back, *new = [queue.claim() for _ in range(5)]
    assert left is not None and back is not None
    assert (left.number, left.user_attrs["params"]) == (1, {"optim.lr": 1e-4})
    assert (back.number, set(back.params)) == (2, {"optim.lr"})
    assert [trial and trial.number for trial in new] == [3, 4, None]
    assert queue.tell(left, TrialState.COMPLETE, [1.0]) and study.best_trial.number == 1
    close_study(study)


def test_a_file_is_not_shared(study: optuna.Study) -> None:
    with pytest.raises(
        RequestError, match=r"through a server, but its database is the file '.*study.db'; on one .*n_jobs"
    ):
        TrialQueue(study, worker="here", shared=True)


def test_a_study_kept_in_memory_is_refused() -> None:
    with pytest.raises(TypeError, match="a study that `open_study` opened is needed, but this one is kept in InMemory"):
        TrialQueue(optuna.create_study(), worker="here", shared=False)
