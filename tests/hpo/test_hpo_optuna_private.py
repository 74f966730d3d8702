"""What tunery expects of each name that optuna keeps to itself, and that only one file relies on them."""

import re
from collections.abc import Callable, Iterator
from inspect import signature
from math import inf, isnan, nan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage

import tunery
from tunery.hpo import optuna_private as private

COLUMNS = {
    "STUDIES": {"study_id"},
    "TRIALS": {"trial_id", "study_id", "number", "state", "datetime_start", "datetime_complete"},
    "TRIAL_USER_ATTRIBUTES": {"trial_id", "key", "value_json"},
    "TRIAL_SYSTEM_ATTRIBUTES": {"trial_id", "key", "value_json"},
    "PARAMS": {"trial_id", "param_name", "param_value", "distribution_json"},
    "VALUES": {"trial_id", "objective", "value", "value_type"},
    "INTERMEDIATE_VALUES": {"trial_id", "step", "intermediate_value", "intermediate_value_type"},
}
"""What is read and written of each table. A new one that has to be filled breaks the tests of the storage."""


@pytest.fixture
def study(tmp_path: Path) -> Iterator[optuna.Study]:
    storage = RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    yield optuna.create_study(storage=storage)
    storage.engine.dispose()


def ids_are_keys_of_the_tables(study: optuna.Study) -> bool:
    trial, frozen = study.ask(), study.get_trials()[0]
    storage: Any = private.storage_below_cache(study)
    with storage.engine.connect() as connection:
        (row,) = connection.execute(private.TRIALS.select()).all()
    ids = private.id_of_study(study), private.id_of_trial(trial), private.id_of_trial(frozen)
    return ids == (row.study_id, row.trial_id, row.trial_id)


def a_cache_is_around_the_database(study: optuna.Study) -> bool:
    return type(private.storage_below_cache(study)) is RDBStorage and type(study._storage) is not RDBStorage


def trials_are_kept_until_forgotten(study: optuna.Study) -> bool:
    """Else a sampler would not see what another worker has stored."""
    other, counts = optuna.load_study(study_name=study.study_name, storage=study._storage), []
    for forget in (lambda _: None, lambda _: None, private.forget_trials):
        other.ask()
        forget(study)
        counts.append(len(study._get_trials(deepcopy=False, use_cache=True)))
    return counts == [1, 1, 3]


def the_cache_reads_by_these_arguments(study: optuna.Study) -> bool:
    ours = signature(private.ReadingStorage._get_trials).parameters
    return list(signature(RDBStorage._get_trials).parameters) == list(ours)


def a_view_answers_in_place_of_its_study(study: optuna.Study) -> bool:
    ours = signature(private.view(study, [])._get_trials).parameters
    return list(signature(study._get_trials).parameters) == list(ours)


def any_value_can_be_stored(study: optuna.Study) -> bool:
    rows = [SimpleNamespace(**private.value_columns(value)) for value in (0.5, inf, -inf)]
    return [private.value_of(row) for row in rows] == [0.5, inf, -inf]


def any_intermediate_value_can_be_stored(study: optuna.Study) -> bool:
    rows = [SimpleNamespace(**private.intermediate_value_columns(value)) for value in (0.5, inf, -inf, nan)]
    *numbers, last = [private.intermediate_value_of(row) for row in rows]
    return numbers == [0.5, inf, -inf] and isnan(last)


@pytest.mark.parametrize(
    ("names", "holds"),
    [
        ("Study._study_id, Trial._trial_id, FrozenTrial._trial_id", ids_are_keys_of_the_tables),
        ("Study._storage, _CachedStorage._backend", a_cache_is_around_the_database),
        ("Study._thread_local.cached_all_trials", trials_are_kept_until_forgotten),
        ("RDBStorage._get_trials", the_cache_reads_by_these_arguments),
        ("Study._get_trials", a_view_answers_in_place_of_its_study),
        ("TrialValueModel", any_value_can_be_stored),
        ("TrialIntermediateValueModel", any_intermediate_value_can_be_stored),
    ],
)
def test_optuna_still_has(names: str, holds: Callable[[optuna.Study], bool], study: optuna.Study) -> None:
    told = f"optuna {optuna.__version__} has changed {names}: mend hpo/optuna_private.py, or admit no such version"
    try:
        assert holds(study), told
    except (AttributeError, TypeError, KeyError) as error:
        pytest.fail(f"{told} ({error})")


@pytest.mark.parametrize("name", COLUMNS)
def test_optunas_tables_still_have(name: str) -> None:
    missing = COLUMNS[name] - set(getattr(private, name).c.keys())
    assert not missing, f"optuna {optuna.__version__} has no {missing} in {name} of hpo/optuna_private.py"


def test_no_other_file_has_a_private_name_of_optuna() -> None:
    private_name = re.compile(
        r"from optuna\S*\._|from optuna.*import .*\b_|(?<!self)\._(study_id|trial_id|storage|backend|thread_local)\b"
    )
    texts = {path.name: path.read_text() for path in Path(tunery.__file__).parent.rglob("*.py")}
    assert {name for name, text in texts.items() if "optuna" in text and private_name.search(text)} == {
        "optuna_private.py"
    }
