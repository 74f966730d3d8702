"""What the lean storage reads and writes is what optuna's own does."""

import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from tunery.hpo.storage.database import backend, close_study, open_study, sqlite_url

INF = float("inf")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[optuna.Study]:
    """Trials of every kind, somewhere east of Greenwich."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    study = open_study(sqlite_url(tmp_path), name="study", directions=["maximize", "minimize"])
    write(study)
    yield study
    close_study(study)
    monkeypatch.undo()
    time.tzset()


def write(study: optuna.Study) -> None:
    for values in ([0.5, -INF], [INF, 2.0]):
        trial, storage = study.ask(), study._storage
        for name, value, distribution in (
            ("method", 1.0, CategoricalDistribution(["lora", None])),
            ("lr", 1e-3, FloatDistribution(1e-5, 1e-1, log=True)),
            ("r", 4.0, IntDistribution(2, 8, step=2)),
        ):
            storage.set_trial_param(trial._trial_id, name, value, distribution)
        for step, reported in ((3, 0.1), (1, INF), (2, float("nan")), (3, 0.25)):
            storage.set_trial_intermediate_value(trial._trial_id, step, reported)
        trial.set_user_attr("params", {"lr": 1e-3, "method": None})
        storage.set_trial_system_attr(trial._trial_id, "costs", [1, 2.5])
        study.tell(trial, values)
    study.tell(study.ask(), state=TrialState.FAIL)
    study.ask()
    study.add_trial(optuna.trial.create_trial(state=TrialState.WAITING))


@pytest.fixture
def plain(study: optuna.Study) -> Iterator[RDBStorage]:
    """The same database, through optuna alone."""
    storage = RDBStorage(str(backend(study).engine.url))
    yield storage
    storage.engine.dispose()


def test_trials_are_those_that_optuna_reads(study: optuna.Study, plain: RDBStorage) -> None:
    lean, place = backend(study), study._study_id
    ids = [trial._trial_id for trial in plain.get_all_trials(place)]
    assert len(ids) == 5
    for states in (None, (TrialState.RUNNING, TrialState.FAIL), ()):
        assert told(lean.get_all_trials(place, states=states)) == told(plain.get_all_trials(place, states=states))
    for older, after in ((set(), ids[1]), ({ids[0], ids[4]}, ids[3])):
        known = [storage._get_trials(place, None, older, after) for storage in (lean, plain)]
        assert told(known[0]) == told(known[1]) and len(known[0]) == 5 - ids.index(after) - 1 + len(older - {ids[4]})
    many = {ids[1], *range(1000, 301_000)}  # more than a statement can name
    assert [trial._trial_id for trial in lean._get_trials(place, None, many, 301_000)] == [ids[1]]
    assert [told([lean.get_trial(number)]) for number in ids] == [told([plain.get_trial(number)]) for number in ids]
    reported = lean.get_trial(ids[0]).intermediate_values
    assert (reported.keys(), reported[1], reported[3]) == ({1, 2, 3}, INF, 0.25)


def told(trials: list[FrozenTrial]) -> list[str]:
    """All that is in them; a NaN is equal to none, and the order of attributes is nobody's business."""
    return [repr(sorted((key, _plain(value)) for key, value in vars(trial).items())) for trial in trials]


def _plain(value: object) -> str:
    return repr(sorted(value.items()) if isinstance(value, dict) else value)


def test_what_is_not_there_or_has_ended(study: optuna.Study) -> None:
    lean = backend(study)
    ended = next(trial for trial in study.get_trials() if trial.state is TrialState.FAIL)
    with pytest.raises(UpdateFinishedTrialError):
        lean.set_trial_intermediate_value(ended._trial_id, 1, 0.5)
    with pytest.raises(KeyError, match="there is no trial with the id 99"):
        lean.get_trial(99)
    with pytest.raises(KeyError, match="there is no trial with the id 99"):
        lean.set_trial_intermediate_value(99, 1, 0.5)
    with pytest.raises(KeyError, match="there is no study with the id 99"):
        lean.get_all_trials(99)


def test_trouble_with_the_database_is_optunas_error(study: optuna.Study, tmp_path: Path) -> None:
    close_study(study)
    (tmp_path / "study.db").write_text("no database" * 500)
    with pytest.raises(StorageInternalError, match="the study's database could not be read or written") as raised:
        backend(study).get_trial(1)
    assert "not a database" in str(raised.value.__cause__)
