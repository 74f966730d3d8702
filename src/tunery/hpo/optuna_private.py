"""Every name that optuna keeps to itself and tunery uses all the same, each with the reason; no other file has one.

`tests/hpo/test_hpo_optuna_private.py` names what is expected of each, and pyproject.toml admits no optuna beyond the
major version that it holds for.
"""

from abc import abstractmethod
from collections.abc import Container, Sequence
from copy import deepcopy as copied
from typing import Any, Final, cast, final

from optuna import Study
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb.models import (
    StudyModel,
    TrialIntermediateValueModel,
    TrialModel,
    TrialParamModel,
    TrialSystemAttributeModel,
    TrialUserAttributeModel,
    TrialValueModel,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

# The tables. Optuna's own reading makes an object of every row, for all trials, at every epoch; and its calls cannot be
# joined into one transaction, with each other and with a look at who has the trial (`storage/leases.py`).
STUDIES: Final = StudyModel.__table__
TRIALS: Final = TrialModel.__table__
TRIAL_USER_ATTRIBUTES: Final = TrialUserAttributeModel.__table__
TRIAL_SYSTEM_ATTRIBUTES: Final = TrialSystemAttributeModel.__table__
PARAMS: Final = TrialParamModel.__table__
VALUES: Final = TrialValueModel.__table__
INTERMEDIATE_VALUES: Final = TrialIntermediateValueModel.__table__


def value_columns(value: float) -> dict[str, Any]:
    """An objective's value as its row has it: databases store no infinity."""
    stored, kind = TrialValueModel.value_to_stored_repr(value)
    return {"value": stored, "value_type": kind}


def value_of(row: Any) -> float:
    """The objective's value in a row of `VALUES`."""
    return TrialValueModel.stored_repr_to_value(row.value, row.value_type)


def intermediate_value_columns(value: float) -> dict[str, Any]:
    """A reported value as its row has it: databases store neither infinity nor NaN."""
    stored, kind = TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
    return {"intermediate_value": stored, "intermediate_value_type": kind}


def intermediate_value_of(row: Any) -> float:
    """The reported value in a row of `INTERMEDIATE_VALUES`."""
    return TrialIntermediateValueModel.stored_repr_to_intermediate_value(
        row.intermediate_value, row.intermediate_value_type
    )


def id_of_study(study: Study) -> int:
    """The key of a study in the tables, which optuna shows nowhere else."""
    return study._study_id


def id_of_trial(trial: Trial | FrozenTrial) -> int:
    """The key of a trial in the tables and in every call of a storage; its public number is one within its study."""
    return trial._trial_id


def storage_below_cache(study: Study) -> BaseStorage:
    """Where a study is kept: optuna wraps every database in a cache of its own, which has no transactions."""
    storage = study._storage
    return storage._backend if isinstance(storage, _CachedStorage) else storage


def forget_trials(study: Study) -> None:
    """Let samplers see what other workers have stored: each thread keeps the trials until `Study.tell`, which is not
    called, because `TrialQueue.tell` does it in a transaction."""
    study._thread_local.cached_all_trials = None


class ReadingStorage(RDBStorage):
    """A database that reads trials in its own way. Optuna's cache reads through `_get_trials` alone."""

    @abstractmethod
    def read_trials(
        self, study_id: int, *, states: Container[TrialState] | None, ids: set[int], after: int
    ) -> list[FrozenTrial]:
        """The trials of a study whose id is beyond `after`, and those of the others that are among `ids`, by their ids.

        Raises:
            KeyError: when there is no such study.
        """

    @final
    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        return self.read_trials(study_id, states=states, ids=included_trial_ids, after=trial_id_greater_than)


def view(study: Study, trials: Sequence[FrozenTrial], *, notes: dict[str, Any] | None = None) -> Study:
    """`study` as samplers and pruners are shown it: with `trials` alone, and the first of its objectives.

    What a trial reports while it runs is that objective, and optuna refuses to compare trials by it where there are
    more. Samplers and pruners ask a study for `_get_trials` and `_storage`; they take no list of trials.

    Args:
        notes: takes what a sampler wants to remember with its trial, in place of the storage.
    """
    return cast(Study, _View(study, trials, notes))


@final
class _View:
    """Whatever is not here is the study's own."""

    def __init__(self, study: Study, trials: Sequence[FrozenTrial], notes: dict[str, Any] | None) -> None:
        self._study = study
        self._trials = trials
        self._storage = study._storage if notes is None else _Notes(study._storage, notes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    @property
    def direction(self) -> StudyDirection:
        return self._study.directions[0]

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        trials = [trial for trial in self._trials if states is None or trial.state in states]
        return copied(trials) if deepcopy else trials

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return self.get_trials(deepcopy, states)


@final
class _Notes:
    """A storage that keeps the attributes of a trial for later."""

    def __init__(self, storage: BaseStorage, notes: dict[str, Any]) -> None:
        self._storage = storage
        self._notes = notes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._notes[key] = value
