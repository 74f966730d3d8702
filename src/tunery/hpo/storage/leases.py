"""Two tables of tunery's own beside optuna's: who holds which trial, and how many trials a study is to have.

A lease is claimed, renewed and released. It protects a trial only where it is looked at in the transaction that changes
the trial: a worker that was frozen between the look and the change would overwrite what another has done meanwhile. So
all of this is part of a transaction of `TrialQueue`, which changes the trial itself with it. Calls of optuna cannot be:
each is a transaction of its own, which does not look at leases.
"""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, DateTime, Integer, MetaData, Table, Text, exists, func, select
from sqlalchemy import update as sql_update
from sqlalchemy.dialects import postgresql, sqlite

TABLES: Final = MetaData()
LEASES: Final = Table(
    "tunery_leases",
    TABLES,
    Column("trial_id", Integer, primary_key=True, autoincrement=False),
    Column("holder", Text, nullable=False),  # a token that is new with every claim
    Column("renewed", DateTime),  # by the server's clock, in UTC; null: released, or of a process that shares nothing
)
QUEUES: Final = Table(
    "tunery_queues",
    TABLES,
    Column("study_id", Integer, primary_key=True, autoincrement=False),
    Column("n_trials", Integer, nullable=False),
)
_INSERT: Final[dict[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def begin_queue(connection: Connection, study_id: int, n_trials: int) -> None:
    """Let a study have a queue, if it has none."""
    row = _INSERT[connection.dialect.name](QUEUES).values(study_id=study_id, n_trials=n_trials)
    connection.execute(row.on_conflict_do_nothing())


def set_length(connection: Connection, study_id: int, n_trials: int) -> None:
    """Say how many trials a study is to have, those that have ended included."""
    connection.execute(sql_update(QUEUES).where(QUEUES.c.study_id == study_id).values(n_trials=n_trials))


def length(connection: Connection, study_id: int, *, lock: bool = False) -> int:
    """How many trials a study is to have.

    Args:
        lock: makes other transactions that lock it wait for the end of this one.
    """
    row = select(QUEUES.c.n_trials).where(QUEUES.c.study_id == study_id)
    return int(connection.execute(row.with_for_update() if lock else row).scalar_one())


def claim(connection: Connection, trial_id: int, holder: str, *, expires: bool) -> None:
    """Give a trial, whose row is locked, to a holder.

    Args:
        expires: whether others may have it once it is not renewed any more.
    """
    columns = {"holder": holder, "renewed": _now() if expires else None}
    row = _INSERT[connection.dialect.name](LEASES).values(trial_id=trial_id, **columns)
    connection.execute(row.on_conflict_do_update(index_elements=["trial_id"], set_=columns))


def renew(connection: Connection, trial_id: int) -> None:
    """Say that the holder is alive."""
    connection.execute(sql_update(LEASES).where(LEASES.c.trial_id == trial_id).values(renewed=_now()))


def release(connection: Connection, trial_id: int) -> None:
    """Let others have it at once. It is still known who was the last to have it, so that this may be repeated."""
    connection.execute(sql_update(LEASES).where(LEASES.c.trial_id == trial_id).values(renewed=None))


def holder_of(connection: Connection, trial_id: int) -> str | None:
    """Who has a trial, or was the last to have it."""
    holder: str | None = connection.scalar(select(LEASES.c.holder).where(LEASES.c.trial_id == trial_id))
    return holder


def has_expired(trial_id: ColumnElement[int], seconds: float) -> ColumnElement[bool]:
    """Whether a trial has no lease that was renewed within so many seconds. An older study's trials have none."""
    return ~exists().where(LEASES.c.trial_id == trial_id, LEASES.c.renewed > _now() - timedelta(seconds=seconds))


def _now() -> Any:
    """The server's clock, in UTC whatever time zone a worker lives in."""
    return func.timezone("UTC", func.clock_timestamp())
