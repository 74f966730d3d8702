"""Who does which trial: trials are taken, held and told so that none is lost and none counts twice.

A trial is *held* by whom its user attribute `holder` names, a token that is new with every taking. On a server a holder
also beats: a trial whose last beat is older than the grace is lost, and whoever comes next takes it over by writing a
token of his own. Taking, beating, writing and telling are one transaction each, which locks the trial's row first and
then asks, in a statement of its own, whether things are still as they were: of two who see the same lost trial the
second finds a fresh beat, and one who was frozen while his trial was taken over finds another's token.
"""

import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any, Final, final

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import StorageInternalError
from optuna.trial import Trial, TrialState
from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, or_, select, true, update

from tunery.errors import Interrupted, RequestError
from tunery.hpo.optuna_private import (
    HEARTBEATS,
    PARAMS,
    STUDIES,
    STUDY_USER_ATTRIBUTES,
    TRIAL_SYSTEM_ATTRIBUTES,
    TRIAL_USER_ATTRIBUTES,
    TRIALS,
    VALUES,
    forget_trials,
    id_of_study,
    id_of_trial,
    value_columns,
)
from tunery.hpo.storage.database import backend
from tunery.hpo.storage.rdb import put

HOLDER: Final = "holder"
_TOTAL: Final = "n_trials"
_GRACE: Final = 3
"""Beats that may be missed."""
_ANSWER: Final = 1.0
"""Seconds in which a beat is answered, if the server is well."""


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
        beat: seconds between two signs of life; after three without one a trial is lost.
        clock: seconds, by which a worker finds out that it was frozen.

        Raises:
            RequestError: when the study is in a file and is to be shared.
        """
        self._study = study
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
        self._taking = threading.Lock()

    def enqueue(self, n_trials: int) -> None:
        """Say how many trials the study has in all, those that have ended included; the last word counts.

        A trial comes into being when it is taken: samplers and pruners read whatever waits, again and again.
        """
        self._study.set_user_attr(_TOTAL, n_trials)

    def take(self) -> Trial | None:
        """A trial that was lost, else one that waits, else a new one; None where there is nothing to take now."""
        with self._taking:
            token = f"{self._worker}/{secrets.token_hex(4)}"
            trial_id = self._claim(token)
            if trial_id is None:
                return None
            forget_trials(self._study)  # a sampler looks at all that is known by now
            self._study.get_trials(deepcopy=False)  # optuna's cache has to know the trial
            trial = Trial(self._study, trial_id)
            self._held[trial] = token
            return trial

    def open(self) -> bool:
        """Whether a trial waits, runs somewhere, or is still to come."""

        def look(connection: Connection) -> bool:
            states = connection.scalars(select(TRIALS.c.state).where(self._of_study)).all()
            return len(states) < self._total(connection) or not all(state.is_finished() for state in states)

        return self._database.transaction(look)

    @property
    def lease(self) -> float:
        """Seconds after its last sign of life until others may take a trial; 0 where there are no others."""
        return _GRACE * self._beat if self._shared else 0.0

    @contextmanager
    def holding(self, trial: Trial) -> Iterator[Callable[[], bool]]:
        """Beat while the block runs; it is given what says whether another worker has taken the trial over."""
        if not self._shared:
            yield lambda: False
            return
        pulse = _Pulse(partial(self._renewed, trial), beat=self._beat, clock=self._clock)
        thread = threading.Thread(target=pulse.go_on, name=f"beat of trial {trial.number}", daemon=True)
        thread.start()
        try:
            yield pulse.is_lost
        finally:
            pulse.end()
            thread.join(_ANSWER)  # a silent server holds nobody up
            if pulse.lost.is_set():
                self._held.pop(trial, None)

    def write(
        self,
        trial: Trial,
        attributes: Mapping[str, Any],
        *,
        of_sampler: Mapping[str, Any] | None = None,
        params: Mapping[str, tuple[float, BaseDistribution]] | None = None,
    ) -> bool:
        """Set user attributes, and what else is given: all of it or nothing, so that nobody reads a part of it.

        Args:
            of_sampler: system attributes.
            params: by path, the value as optuna stores it (a choice as its place) and where it was drawn from.

        Returns:
            False where another has the trial; then nothing is done.
        """
        place = id_of_trial(trial)

        def change(connection: Connection) -> bool:
            if self._state_if_ours(connection, trial) is not TrialState.RUNNING:
                return False
            for table, given in ((TRIAL_USER_ATTRIBUTES, attributes), (TRIAL_SYSTEM_ATTRIBUTES, of_sampler or {})):
                for key, value in given.items():
                    _set_attribute(connection, place, key, value, table=table)
            for path, (value, distribution) in (params or {}).items():
                stored = {"param_value": value, "distribution_json": distribution_to_json(distribution)}
                put(connection, PARAMS, where={"trial_id": place, "param_name": path}, values=stored)
            return True

        return self._database.transaction(change)

    def tell(
        self,
        trial: Trial,
        state: TrialState,
        values: Sequence[float] | None = None,
        *,
        attributes: Mapping[str, Any] | None = None,
    ) -> bool:
        """End a trial, or put it back for others with `TrialState.WAITING`.

        Args:
            attributes: user attributes that are set with it.

        Returns:
            False where another has it; then nothing is done.
        """

        def change(connection: Connection) -> bool:
            known = self._state_if_ours(connection, trial)
            if known is not TrialState.RUNNING:
                return known is state  # told before a connection was lost
            for objective, value in enumerate(values or ()):
                _set_value(connection, id_of_trial(trial), objective, value)
            for key, given in (attributes or {}).items():
                _set_attribute(connection, id_of_trial(trial), key, given)
            ended = {"datetime_complete": _utc()} if state.is_finished() else {}
            same = TRIALS.c.trial_id == id_of_trial(trial)
            connection.execute(update(TRIALS).where(same).values(state=state, **ended))
            return True

        ours = self._database.transaction(change)
        self._held.pop(trial, None)
        return ours

    @property
    def _of_study(self) -> ColumnElement[bool]:
        of_study: ColumnElement[bool] = TRIALS.c.study_id == id_of_study(self._study)
        return of_study

    def _claim(self, token: str) -> int | None:
        """Take a trial, so that from its first moment it has a holder and a beat."""

        def claim(connection: Connection) -> int | None:
            trial_id = self._free(connection)
            trial_id = self._new(connection) if trial_id is None else trial_id
            if trial_id is None:
                return None
            waits = and_(TRIALS.c.trial_id == trial_id, TRIALS.c.state == TrialState.WAITING)
            begun = {"state": TrialState.RUNNING, "datetime_start": _utc()}
            connection.execute(update(TRIALS).where(waits).values(begun))
            _set_attribute(connection, trial_id, HOLDER, token)
            if self._shared:
                _beat(connection, trial_id)
            return trial_id

        return self._database.transaction(claim)

    def _free(self, connection: Connection) -> int | None:
        """The first trial that nobody has, its row locked."""
        held = [id_of_trial(trial) for trial in list(self._held)]  # other threads tell meanwhile
        running, waiting = TRIALS.c.state == TrialState.RUNNING, TRIALS.c.state == TrialState.WAITING
        free = or_(waiting, and_(running, self._lost(), TRIALS.c.trial_id.not_in(held)))
        found = select(TRIALS.c.trial_id).where(self._of_study, free)
        for trial_id in connection.scalars(found.order_by(waiting, TRIALS.c.number)).all():
            same = TRIALS.c.trial_id == trial_id
            locked = connection.scalar(select(TRIALS.c.trial_id).where(same).with_for_update(skip_locked=True))
            if locked is not None and connection.scalar(found.where(same)) is not None:
                return int(trial_id)
        return None

    def _lost(self) -> ColumnElement[bool]:
        if not self._shared:
            return true()
        fresh = HEARTBEATS.c.heartbeat > _now() - timedelta(seconds=_GRACE * self._beat)
        return ~exists().where(HEARTBEATS.c.trial_id == TRIALS.c.trial_id, fresh)

    def _new(self, connection: Connection) -> int | None:
        """One more trial, if there are to be more; the study's row is locked, so that numbers have no gaps or twins."""
        study = id_of_study(self._study)
        connection.execute(select(STUDIES.c.study_id).where(STUDIES.c.study_id == study).with_for_update())
        number = connection.scalar(select(func.count()).select_from(TRIALS).where(self._of_study)) or 0
        if number >= self._total(connection):
            return None
        row = insert(TRIALS).values(study_id=study, number=number, state=TrialState.WAITING)
        return int(connection.execute(row.returning(TRIALS.c.trial_id)).scalar_one())

    def _total(self, connection: Connection) -> int:
        mine = and_(STUDY_USER_ATTRIBUTES.c.study_id == id_of_study(self._study), STUDY_USER_ATTRIBUTES.c.key == _TOTAL)
        found = connection.scalar(select(STUDY_USER_ATTRIBUTES.c.value_json).where(mine))
        return int(json.loads(found)) if found else 0

    def _state_if_ours(self, connection: Connection, trial: Trial) -> TrialState | None:
        """The state of a trial of which this worker is the latest holder, its row locked from here to the end of the
        transaction; None where another is."""
        same = TRIALS.c.trial_id == id_of_trial(trial)
        state = connection.scalar(select(TRIALS.c.state).where(same).with_for_update())
        named = and_(TRIAL_USER_ATTRIBUTES.c.trial_id == id_of_trial(trial), TRIAL_USER_ATTRIBUTES.c.key == HOLDER)
        holder = connection.scalar(select(TRIAL_USER_ATTRIBUTES.c.value_json).where(named))
        return state if holder == json.dumps(self._held.get(trial)) else None

    def _renewed(self, trial: Trial) -> bool:
        def renew(connection: Connection) -> bool:
            ours = self._state_if_ours(connection, trial) is TrialState.RUNNING
            if ours:
                _beat(connection, id_of_trial(trial))
            return ours

        return self._database.transaction(renew)


@final
class _Pulse:
    """The signs of life of one who holds a trial, from a thread of their own: the server may keep it waiting."""

    def __init__(self, renewed: Callable[[], bool], *, beat: float, clock: Callable[[], float]) -> None:
        """Args:
        renewed: beats, and says whether the trial is still ours.
        """
        self.lost = threading.Event()
        self._renewed = renewed
        self._beat = beat
        self._clock = clock
        self._over = False
        self._wake = threading.Event()
        self._asked = threading.Event()
        self._is_asking = False
        self._last = clock()

    def go_on(self) -> None:
        """Beat until it is over, or in vain."""
        while not self.lost.is_set():
            self._wake.wait(self._beat)
            if self._over:
                return
            self._wake.clear()
            self._ask()

    def end(self) -> None:
        """Let `go_on` return, unless it is kept waiting."""
        self._over = True
        self._wake.set()

    def is_lost(self) -> bool:
        """Who was frozen asks at once: others may have come, and the next beat is far."""
        if self._clock() - self._last > _GRACE * self._beat and not self._is_asking and not self.lost.is_set():
            self._asked.clear()
            self._wake.set()
            self._asked.wait(_ANSWER)
        return self.lost.is_set()

    def _ask(self) -> None:
        self._is_asking = True
        with suppress(StorageInternalError, Interrupted):  # the server may come back; who leaves is asked elsewhere
            if not self._renewed():
                self.lost.set()
        self._last = self._clock()
        self._is_asking = False
        self._asked.set()


def _now() -> Any:
    """The server's clock, in UTC whatever time zone a worker lives in."""
    return func.timezone("UTC", func.clock_timestamp())


def _utc() -> datetime:
    """The worker's clock, as optuna stores it."""
    return datetime.now(UTC).replace(tzinfo=None)


def _beat(connection: Connection, trial_id: int) -> None:
    put(connection, HEARTBEATS, where={"trial_id": trial_id}, values={"heartbeat": _now()})


def _set_attribute(
    connection: Connection, trial_id: int, key: str, value: Any, *, table: Any = TRIAL_USER_ATTRIBUTES
) -> None:
    """Of a trial whose row is locked, so that nobody else sets the same one."""
    put(connection, table, where={"trial_id": trial_id, "key": key}, values={"value_json": json.dumps(value)})


def _set_value(connection: Connection, trial_id: int, objective: int, value: float) -> None:
    where = {"trial_id": trial_id, "objective": objective}
    put(connection, VALUES, where=where, values=value_columns(value))
