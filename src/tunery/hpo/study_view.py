"""A study as samplers and pruners are shown it: some of its trials, judged by the first of its objectives."""

from collections.abc import Container, Sequence
from copy import deepcopy as copied
from typing import Any, cast, final

from optuna import Study
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


def view(study: Study, trials: Sequence[FrozenTrial], *, notes: dict[str, Any] | None = None) -> Study:
    """`study` with `trials` alone.

    Its direction is that of the first objective: what a trial reports while it runs is that objective, and optuna
    refuses to compare trials by it where there are more.

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
        found = [trial for trial in self._trials if states is None or trial.state in states]
        return copied(found) if deepcopy else found

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
