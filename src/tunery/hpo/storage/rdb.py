"""optuna's database, read and written without objects for every row: a study reads its trials at every epoch.

Rows are what optuna itself would write, and trials what it would read from them: a test compares the two.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, TypeVar, final

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, Connection, and_, insert, or_, select, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tunery.hpo.optuna_private import (
    INTERMEDIATE_VALUES,
    PARAMS,
    STUDIES,
    TRIAL_SYSTEM_ATTRIBUTES,
    TRIAL_USER_ATTRIBUTES,
    TRIALS,
    VALUES,
    ReadingStorage,
    id_of_trial,
    intermediate_value_columns,
    intermediate_value_of,
    value_of,
)

T = TypeVar("T")

_TABLES_OF_TRIALS: Final = (PARAMS, VALUES, INTERMEDIATE_VALUES, TRIAL_USER_ATTRIBUTES, TRIAL_SYSTEM_ATTRIBUTES)
_MOST_IDS: Final = 1000
"""Ids that a statement names one by one: databases have limits, SQLite of 32,766 values."""


@final
class CoreRDBStorage(ReadingStorage):
    """The calls that a study makes again and again."""

    def transaction(self, work: Callable[[Connection], T]) -> T:
        """Have `work` done whole or not at all; once more, on another connection, where the first is lost on the way.

        A connection may be lost after the work was done and before that was said, so it must do no harm to repeat it.

        Raises:
            StorageInternalError: whatever goes wrong with the database.
        """
        try:
            try:
                return self._done(work)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                return self._done(work)
        except SQLAlchemyError as error:
            raise StorageInternalError("the study's database could not be read or written") from error

    def _done(self, work: Callable[[Connection], T]) -> T:
        with self.engine.begin() as connection:
            return work(connection)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """One trial, as it is now.

        Raises:
            KeyError: when there is none with this id.
        """
        trials = self.transaction(lambda connection: _read(connection, TRIALS.c.trial_id == trial_id))
        if not trials:
            raise _no_trial(trial_id)
        return trials[0]

    def read_trials(
        self, study_id: int, *, states: Container[TrialState] | None, ids: set[int], after: int
    ) -> list[FrozenTrial]:
        """See `ReadingStorage`."""
        older = {trial_id for trial_id in ids if trial_id <= after}
        wanted = TRIALS.c.study_id == study_id
        if len(older) <= _MOST_IDS:
            wanted &= or_(TRIALS.c.trial_id > after, TRIALS.c.trial_id.in_(older))

        def read(connection: Connection) -> list[FrozenTrial]:
            if connection.scalar(select(STUDIES.c.study_id).where(STUDIES.c.study_id == study_id)) is None:
                raise KeyError(f"there is no study with the id {study_id}")
            return _read(connection, wanted)

        return [
            trial
            for trial in self.transaction(read)
            if (id_of_trial(trial) > after or id_of_trial(trial) in older) and (states is None or trial.state in states)
        ]

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Store what a trial reports at a step; the last word counts.

        Raises:
            KeyError: when there is no such trial.
            UpdateFinishedTrialError: when it has ended.
        """
        columns = intermediate_value_columns(intermediate_value)

        def write(connection: Connection) -> None:
            state = connection.scalar(select(TRIALS.c.state).where(TRIALS.c.trial_id == trial_id))
            if state is None:
                raise _no_trial(trial_id)
            self.check_trial_is_updatable(trial_id, state)
            where = {"trial_id": trial_id, "step": step}
            put(connection, INTERMEDIATE_VALUES, where=where, values=columns)

        self.transaction(write)


def _no_trial(trial_id: int) -> KeyError:
    return KeyError(f"there is no trial with the id {trial_id}")


def _read(connection: Connection, wanted: ColumnElement[bool]) -> list[FrozenTrial]:
    """Trials by their ids."""
    trials = connection.execute(select(TRIALS).where(wanted).order_by(TRIALS.c.trial_id)).all()
    by_table: list[defaultdict[int, list[Any]]] = []
    for table in _TABLES_OF_TRIALS:
        rows: defaultdict[int, list[Any]] = defaultdict(list)
        key = next(iter(table.primary_key))
        for row in connection.execute(select(table).join(TRIALS).where(wanted).order_by(key)):
            rows[row.trial_id].append(row)
        by_table.append(rows)
    return [_frozen(trial, *(rows[trial.trial_id] for rows in by_table)) for trial in trials]


def put(connection: Connection, table: Any, *, where: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Change the row that has these values, or add it."""
    same = and_(*(table.c[name] == value for name, value in where.items()))
    if connection.execute(update(table).where(same).values(values)).rowcount == 0:
        connection.execute(insert(table).values({**where, **values}))


def _frozen(trial: Any, params: Any, values: Any, steps: Any, user: Any, system: Any) -> FrozenTrial:
    distributions = {row.param_name: _distribution(row.distribution_json) for row in params}
    return FrozenTrial(
        number=trial.number,
        state=trial.state,
        value=None,
        values=[value_of(row) for row in sorted(values, key=lambda row: row.objective)] or None,
        datetime_start=_local(trial.datetime_start),
        datetime_complete=_local(trial.datetime_complete),
        params={row.param_name: distributions[row.param_name].to_external_repr(row.param_value) for row in params},
        distributions=distributions,
        user_attrs=_attributes(user),
        system_attrs=_attributes(system),
        intermediate_values={row.step: intermediate_value_of(row) for row in steps},
        trial_id=trial.trial_id,
    )


@cache
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _attributes(rows: Iterable[Any]) -> dict[str, Any]:
    return {row.key: json.loads(row.value_json) for row in rows}


def _local(stored: datetime | None) -> datetime | None:
    """UTC as it is stored -> local time, as optuna reads it; neither names its zone."""
    return None if stored is None else stored.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
