"""Who has which trial: trials are claimed, held and told so that none is lost and none counts twice.

A worker *holds* a trial by a lease (`leases.py`), which names a token that is new with every claim. On a server it also
renews the lease: a trial whose lease was not renewed for a while is lost, and the next worker claims it with a token of
its own. Claiming, renewing, writing, telling and releasing are one transaction each, which locks the trial's row first
and then asks, in a statement of its own, whether things are still as they were: of two that see the same lost trial the
second finds a fresh lease, and a worker that was frozen while its trial was claimed finds another's token.
"""

import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Any, Final, final

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import Trial, TrialState
from sqlalchemy import ColumnElement, Connection, Table, and_, func, insert, or_, select, true, update

from tunery.errors import RequestError
from tunery.hpo.optuna_private import (
    PARAMS,
    TRIAL_SYSTEM_ATTRIBUTES,
    TRIAL_USER_ATTRIBUTES,
    TRIALS,
    VALUES,
    forget_trials,
    id_of_study,
    id_of_trial,
    value_columns,
)
from tunery.hpo.storage import leases
from tunery.hpo.storage.database import backend
from tunery.hpo.storage.heartbeat import Heartbeat
from tunery.hpo.storage.rdb import put

_MISSED: Final = 3
"""Heartbeats that may be missed."""
_N_TRIALS: Final = "n_trials"
"""User attribute of a study that an earlier version began, when queues had no table."""


@final
class TrialQueue:
    """The trials of one study, for one worker, whose threads may all use it at once."""

    def __init__(
        self,
        study: optuna.Study,
        *,
        worker: str,
        shared: bool,
        beat: float = 10.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Args:
        study: from `open_study`.
        worker: its name in what others see.
        shared: whether other workers may be at the study too; if not, whatever is running was left by a dead process.
        beat: seconds between two heartbeats; after three without one a trial is lost.
        clock: seconds, by which a worker finds out that it was frozen.

        Raises:
            RequestError: when the study is in a file and is to be shared.
        """
        self._study = study
        self._study_id = id_of_study(study)
        self._of_study: ColumnElement[bool] = TRIALS.c.study_id == self._study_id
        self._database = backend(study)
        if shared and self._database.engine.dialect.name == "sqlite":
            raise RequestError(
                f"workers share a study through a server, but its database is the file "
                f"{self._database.engine.url.database!r}; on one machine `search.n_jobs` runs several trials at once, "
                f"on several give a storage URL `postgresql://user:password@host/database`"
            )
        self._worker = worker
        self._shared = shared
        self._beat = beat
        self._clock = clock
        self._held: dict[Trial, str] = {}
        self._claiming = threading.Lock()
        length = int(study.user_attrs.get(_N_TRIALS, 0))
        self._database.transaction(partial(leases.begin_queue, study_id=self._study_id, n_trials=length))

    @property
    def lease(self) -> float:
        """Seconds after its last sign of life until others may claim a trial; 0 where there are no others."""
        return _MISSED * self._beat if self._shared else 0.0

    def enqueue(self, n_trials: int) -> None:
        """Say how many trials the study has in all, those that have ended included; the last word counts.

        A trial comes into being when it is claimed: samplers and pruners read whatever waits, again and again.
        """
        self._database.transaction(partial(leases.set_length, study_id=self._study_id, n_trials=n_trials))

    def length(self) -> int:
        """How many trials the study has in all."""
        return self._database.transaction(partial(leases.length, study_id=self._study_id))

    def open(self) -> bool:
        """Whether a trial waits, runs somewhere, or is still to come."""

        def look(connection: Connection) -> bool:
            states = connection.scalars(select(TRIALS.c.state).where(self._of_study)).all()
            is_complete = len(states) >= leases.length(connection, self._study_id)
            return not is_complete or not all(state.is_finished() for state in states)

        return self._database.transaction(look)

    def claim(self) -> Trial | None:
        """A trial that was lost, else one that waits, else a new one; None where there is nothing to claim now.

        From its first moment it has a holder.
        """
        with self._claiming:
            token = f"{self._worker}/{secrets.token_hex(4)}"

            def claim(connection: Connection) -> int | None:
                trial_id = self._lost_or_waiting(connection)
                trial_id = self._new(connection) if trial_id is None else trial_id
                if trial_id is not None:
                    waits = and_(TRIALS.c.trial_id == trial_id, TRIALS.c.state == TrialState.WAITING)
                    begun = {"state": TrialState.RUNNING, "datetime_start": _utc()}
                    connection.execute(update(TRIALS).where(waits).values(begun))
                    leases.claim(connection, trial_id, token, expires=self._shared)
                return trial_id

            trial_id = self._database.transaction(claim)
            if trial_id is None:
                return None
            forget_trials(self._study)  # a sampler looks at all that is known by now
            self._study.get_trials(deepcopy=False)  # optuna's cache has to know the trial
            trial = Trial(self._study, trial_id)
            self._held[trial] = token
            return trial

    @contextmanager
    def holding(self, trial: Trial) -> Iterator[Callable[[], bool]]:
        """Renew the lease while the block runs; it is given what says whether another worker has the trial by now."""
        if not self._shared:
            yield lambda: False
            return
        renew = partial(leases.renew, trial_id=id_of_trial(trial))
        heartbeat = Heartbeat(
            partial(self._change_if_held, trial, renew),
            name=f"heartbeat of trial {trial.number}",
            interval=self._beat,
            lease=self.lease,
            clock=self._clock,
        )
        try:
            yield heartbeat.is_lost
        finally:
            heartbeat.end()
            if heartbeat.lost.is_set():
                self._held.pop(trial, None)

    def write(
        self,
        trial: Trial,
        attributes: Mapping[str, Any],
        *,
        system_attributes: Mapping[str, Any] | None = None,
        params: Mapping[str, tuple[float, BaseDistribution]] | None = None,
    ) -> bool:
        """Set user attributes, and what else is given, in one transaction.

        Args:
            system_attributes: what the sampler remembers.
            params: by path, the value as optuna stores it (a choice as its index) and where it was drawn from.

        Returns:
            False where another has the trial; then nothing is done.
        """
        trial_id = id_of_trial(trial)

        def change(connection: Connection) -> None:
            _set_attributes(connection, TRIAL_USER_ATTRIBUTES, trial_id, attributes)
            _set_attributes(connection, TRIAL_SYSTEM_ATTRIBUTES, trial_id, system_attributes or {})
            for path, (value, distribution) in (params or {}).items():
                stored = {"param_value": value, "distribution_json": distribution_to_json(distribution)}
                put(connection, PARAMS, where={"trial_id": trial_id, "param_name": path}, values=stored)

        return self._change_if_held(trial, change)

    def tell(
        self,
        trial: Trial,
        state: TrialState,
        values: Sequence[float] | None = None,
        *,
        attributes: Mapping[str, Any] | None = None,
    ) -> bool:
        """Say how a trial has ended, and set user attributes with it.

        Returns:
            False where another has it; then nothing is done.
        """
        trial_id, ended = id_of_trial(trial), {"datetime_complete": _utc()} if state.is_finished() else {}

        def change(connection: Connection) -> bool:
            before = self._state_if_held(connection, trial)
            if before is not TrialState.RUNNING:
                return before is state  # done before a connection was lost
            for objective, value in enumerate(values or ()):
                where = {"trial_id": trial_id, "objective": objective}
                put(connection, VALUES, where=where, values=value_columns(value))
            _set_attributes(connection, TRIAL_USER_ATTRIBUTES, trial_id, attributes or {})
            row = update(TRIALS).where(TRIALS.c.trial_id == trial_id)
            connection.execute(row.values(state=state, **ended))
            leases.release(connection, trial_id)
            return True

        is_held = self._database.transaction(change)
        self._held.pop(trial, None)
        return is_held

    def release(self, trial: Trial) -> bool:
        """Put a trial back for others, or for the next call.

        Returns:
            False where another has it; then nothing is done.
        """
        return self.tell(trial, TrialState.WAITING)

    def _change_if_held(self, trial: Trial, change: Callable[[Connection], None]) -> bool:
        """Change a trial that runs and that this worker has; returns whether it does."""

        def change_if_held(connection: Connection) -> bool:
            is_held = self._state_if_held(connection, trial) is TrialState.RUNNING
            if is_held:
                change(connection)
            return is_held

        return self._database.transaction(change_if_held)

    def _state_if_held(self, connection: Connection, trial: Trial) -> TrialState | None:
        """The state of a trial of which this worker is the latest holder, None where another is. Locks the row until
        the transaction ends."""
        same = TRIALS.c.trial_id == id_of_trial(trial)
        state = connection.scalar(select(TRIALS.c.state).where(same).with_for_update())
        token = self._held.get(trial)
        return state if token is not None and leases.holder_of(connection, id_of_trial(trial)) == token else None

    def _lost_or_waiting(self, connection: Connection) -> int | None:
        """The first trial that was lost, else the first that waits, its row locked."""
        held = [id_of_trial(trial) for trial in list(self._held)]  # other threads tell meanwhile
        running, waiting = TRIALS.c.state == TrialState.RUNNING, TRIALS.c.state == TrialState.WAITING
        lost = leases.has_expired(TRIALS.c.trial_id, self.lease) if self._shared else true()
        free = or_(waiting, and_(running, lost, TRIALS.c.trial_id.not_in(held)))
        candidates = select(TRIALS.c.trial_id).where(self._of_study, free)
        for trial_id in connection.scalars(candidates.order_by(waiting, TRIALS.c.number)).all():
            same = TRIALS.c.trial_id == trial_id
            locked = connection.scalar(select(TRIALS.c.trial_id).where(same).with_for_update(skip_locked=True))
            if locked is not None and connection.scalar(candidates.where(same)) is not None:
                return int(trial_id)
        return None

    def _new(self, connection: Connection) -> int | None:
        """One more trial, if there are to be more; the queue is locked, so that numbers have no gaps or twins."""
        n_trials = leases.length(connection, self._study_id, lock=True)
        number = connection.scalar(select(func.count()).select_from(TRIALS).where(self._of_study)) or 0
        if number >= n_trials:
            return None
        row = insert(TRIALS).values(study_id=self._study_id, number=number, state=TrialState.WAITING)
        return int(connection.execute(row.returning(TRIALS.c.trial_id)).scalar_one())


def _utc() -> datetime:
    """The worker's clock, as optuna stores it."""
    return datetime.now(UTC).replace(tzinfo=None)


def _set_attributes(connection: Connection, table: Table, trial_id: int, attributes: Mapping[str, Any]) -> None:
    """Of a trial whose row is locked: no other transaction sets them meanwhile."""
    for key, value in attributes.items():
        put(connection, table, where={"trial_id": trial_id, "key": key}, values={"value_json": json.dumps(value)})
