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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any, Final, final

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages._rdb.models import (
    StudyModel,
    StudyUserAttributeModel,
    TrialHeartbeatModel,
    TrialModel,
    TrialUserAttributeModel,
    TrialValueModel,
)
from optuna.trial import Trial, TrialState
from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, or_, select, true, update

from tunery.errors import RequestError
from tunery.hpo.database import backend
from tunery.hpo.lean_storage import put

HOLDER: Final = "holder"
_TOTAL: Final = "n_trials"
_GRACE: Final = 3
"""Beats that may be missed."""

_STUDIES: Final = StudyModel.__table__
_OF_STUDY: Final = StudyUserAttributeModel.__table__
_TRIALS: Final = TrialModel.__table__
_OF_TRIAL: Final = TrialUserAttributeModel.__table__
_VALUES: Final = TrialValueModel.__table__
_BEATS: Final = TrialHeartbeatModel.__table__


@final
class Book:
    """The trials of one study, for one worker, whose threads may all use it at once."""

    def __init__(self, study: optuna.Study, *, worker: str, shared: bool, beat: float = 10.0) -> None:
        """Args:
        study: from `open_study`.
        worker: its name in what others see.
        shared: whether other workers may be at the study too; if not, whatever is running was left by a dead process.
        beat: seconds between two signs of life; after three without one a trial is lost.

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
        self._held: dict[Trial, str] = {}
        self._taking = threading.Lock()

    def queue(self, n_trials: int) -> None:
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
            self._study._thread_local.cached_all_trials = None  # a sampler looks at all that is known by now
            self._study.get_trials(deepcopy=False)  # optuna's cache has to know the trial
            trial = Trial(self._study, trial_id)
            self._held[trial] = token
            return trial

    def open(self) -> bool:
        """Whether a trial waits, runs somewhere, or is still to come."""
        with self._database.transaction() as connection:
            states = connection.scalars(select(_TRIALS.c.state).where(self._of_study)).all()
            return len(states) < self._total(connection) or not all(state.is_finished() for state in states)

    @contextmanager
    def holding(self, trial: Trial) -> Iterator[Callable[[], bool]]:
        """Beat while the block runs; it is given what says whether another worker has taken the trial over."""
        if not self._shared:
            yield lambda: False
            return
        pulse = _Pulse(partial(self._renewed, trial), beat=self._beat)
        thread = threading.Thread(target=pulse.go_on, daemon=True)
        thread.start()
        try:
            yield pulse.is_lost
        finally:
            pulse.over.set()
            thread.join()
            if pulse.lost.is_set():
                self._held.pop(trial, None)

    def write(self, trial: Trial, key: str, value: Any) -> bool:
        """Set a user attribute. Returns False, and does nothing, where another has the trial."""
        with self._database.transaction() as connection:
            if ours := self._is_ours(connection, trial):
                _set_attribute(connection, trial._trial_id, key, value)
        return ours

    def tell(self, trial: Trial, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """End a trial, or put it back for others with `TrialState.WAITING`.

        Returns False, and does nothing, where another has it.
        """
        with self._database.transaction() as connection:
            if ours := self._is_ours(connection, trial):
                for objective, value in enumerate(values or ()):
                    _set_value(connection, trial._trial_id, objective, value)
                ended = {"datetime_complete": _utc()} if state.is_finished() else {}
                same = _TRIALS.c.trial_id == trial._trial_id
                connection.execute(update(_TRIALS).where(same).values(state=state, **ended))
        self._held.pop(trial, None)
        return ours

    @property
    def _of_study(self) -> ColumnElement[bool]:
        of_study: ColumnElement[bool] = _TRIALS.c.study_id == self._study._study_id
        return of_study

    def _claim(self, token: str) -> int | None:
        """Take a trial, so that from its first moment it has a holder and a beat."""
        with self._database.transaction() as connection:
            trial_id = self._free(connection)
            trial_id = self._new(connection) if trial_id is None else trial_id
            if trial_id is None:
                return None
            waits = and_(_TRIALS.c.trial_id == trial_id, _TRIALS.c.state == TrialState.WAITING)
            begun = {"state": TrialState.RUNNING, "datetime_start": _utc()}
            connection.execute(update(_TRIALS).where(waits).values(begun))
            _set_attribute(connection, trial_id, HOLDER, token)
            if self._shared:
                _beat(connection, trial_id)
            return trial_id

    def _free(self, connection: Connection) -> int | None:
        """The first trial that nobody has, its row locked."""
        held = [trial._trial_id for trial in list(self._held)]  # other threads tell meanwhile
        running, waiting = _TRIALS.c.state == TrialState.RUNNING, _TRIALS.c.state == TrialState.WAITING
        free = or_(waiting, and_(running, self._lost(), _TRIALS.c.trial_id.not_in(held)))
        found = select(_TRIALS.c.trial_id).where(self._of_study, free)
        for trial_id in connection.scalars(found.order_by(waiting, _TRIALS.c.number)).all():
            same = _TRIALS.c.trial_id == trial_id
            locked = connection.scalar(select(_TRIALS.c.trial_id).where(same).with_for_update(skip_locked=True))
            if locked is not None and connection.scalar(found.where(same)) is not None:
                return int(trial_id)
        return None

    def _lost(self) -> ColumnElement[bool]:
        if not self._shared:
            return true()
        fresh = _BEATS.c.heartbeat > _now() - timedelta(seconds=_GRACE * self._beat)
        return ~exists().where(_BEATS.c.trial_id == _TRIALS.c.trial_id, fresh)

    def _new(self, connection: Connection) -> int | None:
        """One more trial, if there are to be more; the study's row is locked, so that numbers have no gaps or twins."""
        study = self._study._study_id
        connection.execute(select(_STUDIES.c.study_id).where(_STUDIES.c.study_id == study).with_for_update())
        number = connection.scalar(select(func.count()).select_from(_TRIALS).where(self._of_study)) or 0
        if number >= self._total(connection):
            return None
        row = insert(_TRIALS).values(study_id=study, number=number, state=TrialState.WAITING)
        return int(connection.execute(row.returning(_TRIALS.c.trial_id)).scalar_one())

    def _total(self, connection: Connection) -> int:
        mine = and_(_OF_STUDY.c.study_id == self._study._study_id, _OF_STUDY.c.key == _TOTAL)
        found = connection.scalar(select(_OF_STUDY.c.value_json).where(mine))
        return int(json.loads(found)) if found else 0

    def _is_ours(self, connection: Connection, trial: Trial) -> bool:
        """Whether this worker still has the trial, whose row is locked from here to the end of the transaction."""
        same = _TRIALS.c.trial_id == trial._trial_id
        state = connection.scalar(select(_TRIALS.c.state).where(same).with_for_update())
        named = and_(_OF_TRIAL.c.trial_id == trial._trial_id, _OF_TRIAL.c.key == HOLDER)
        holder = connection.scalar(select(_OF_TRIAL.c.value_json).where(named))
        return state is TrialState.RUNNING and holder == json.dumps(self._held.get(trial))

    def _renewed(self, trial: Trial) -> bool:
        with self._database.transaction() as connection:
            if ours := self._is_ours(connection, trial):
                _beat(connection, trial._trial_id)
        return ours


@final
class _Pulse:
    """The signs of life of one who holds a trial."""

    def __init__(self, renewed: Callable[[], bool], *, beat: float) -> None:
        """Args:
        renewed: beats, and says whether the trial is still ours.
        """
        self.over = threading.Event()
        self.lost = threading.Event()
        self._renewed = renewed
        self._beat = beat
        self._last = monotonic()

    def go_on(self) -> None:
        """Beat until it is over, or in vain."""
        while not self.over.wait(self._beat) and not self.lost.is_set():
            self._ask()

    def is_lost(self) -> bool:
        """Who has just been woken asks at once: others may have come, and the next beat is far."""
        if monotonic() - self._last > _GRACE * self._beat and not self.lost.is_set():
            self._ask()
        return self.lost.is_set()

    def _ask(self) -> None:
        with suppress(StorageInternalError):  # the server may come back
            if self._renewed():
                self._last = monotonic()
            else:
                self.lost.set()


def _now() -> Any:
    """The server's clock, in UTC whatever time zone a worker lives in."""
    return func.timezone("UTC", func.clock_timestamp())


def _utc() -> datetime:
    """The worker's clock, as optuna stores it."""
    return datetime.now(UTC).replace(tzinfo=None)


def _beat(connection: Connection, trial_id: int) -> None:
    put(connection, _BEATS, where={"trial_id": trial_id}, values={"heartbeat": _now()})


def _set_attribute(connection: Connection, trial_id: int, key: str, value: Any) -> None:
    """Of a trial whose row is locked, so that nobody else sets the same one."""
    put(connection, _OF_TRIAL, where={"trial_id": trial_id, "key": key}, values={"value_json": json.dumps(value)})


def _set_value(connection: Connection, trial_id: int, objective: int, value: float) -> None:
    stored, kind = TrialValueModel.value_to_stored_repr(value)
    given = {"value": stored, "value_type": kind}
    put(connection, _VALUES, where={"trial_id": trial_id, "objective": objective}, values=given)
