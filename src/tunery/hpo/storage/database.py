"""Where a study is written down: SQLite in its folder, or PostgreSQL where several machines work on it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy import URL, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from tunery.errors import MissingExtra, RequestError, RunError, reason_of
from tunery.hpo.optuna_private import storage_below_cache
from tunery.hpo.storage.leases import TABLES
from tunery.hpo.storage.patience import Patience
from tunery.hpo.storage.rdb import CoreRDBStorage
from tunery.schema.results.direction import Direction

_FORM: Final = "`sqlite:///path/study.db` or `postgresql://USER@HOST/DATABASE`"
_SERVER: Final = "postgresql+psycopg"

_DRIVERS: Final[Mapping[str, str]] = {"sqlite": "sqlite", "postgresql": _SERVER, _SERVER: _SERVER}
"""What a URL may begin with -> the driver that serves it."""

_OPTIONS: Final[Mapping[str, dict[str, Any]]] = {
    "sqlite": {},
    # A claim looks at a row again after locking it, and must then see what others have committed meanwhile.
    _SERVER: {"isolation_level": "READ COMMITTED", "pool_pre_ping": True},
}

_ON_CONNECT: Final[Mapping[str, Sequence[str]]] = {
    # A trial makes tens of small commits, which this way need not wait for the disk. When the power fails the last of
    # them may be undone, and the trial is taken up from there; nothing is ever damaged.
    "sqlite": ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", "PRAGMA busy_timeout=60000"),
    # A worker that is frozen in the middle of a commit keeps its trial locked for 10 s and no longer.
    _SERVER: (
        "SET synchronous_commit = off",
        "SET idle_in_transaction_session_timeout = '10s'",
        "SET statement_timeout = '15s'",
    ),
}

_NOT_WRITTEN: Final = (ValueError, TypeError, LookupError, AssertionError, RecursionError)
"""What optuna raises where it reads rows that it did not write."""

_SETTING_UP: Final = 0x74756E657279
"""Number of the advisory lock under which tables are made: workers come at the same time."""


def sqlite_url(folder: Path) -> str:
    """The database of the study in `folder`."""
    return URL.create("sqlite", database=str(folder / "study.db")).render_as_string()


def open_study(
    url: str, *, name: str, directions: Sequence[Direction], patience: Patience | None = None
) -> optuna.Study:
    """Open the study `name`, or begin it; close it with `close_study`.

    A SQLite file holds one study, which is opened whatever its name is.

    Args:
        url: `sqlite:///path`, or `postgresql://user:password@host/database`.
        directions: one for each objective.
        patience: with a server that is silent or restarts, once the study is open; until then it only says what ends
            the wait for an answer.

    Raises:
        RequestError: when the URL, the server or what it holds will not do. No password is in the message.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    parsed = parse_url(url)
    with _explained(parsed):
        storage = _storage(parsed, patience)
        names = [study.study_name for study in storage.get_all_studies()] if parsed.drivername == "sqlite" else []
        study = optuna.create_study(
            study_name=names[0] if names else name, storage=storage, directions=directions, load_if_exists=True
        )
        _read_all(study)
    stored = [direction.name.lower() for direction in study.directions]
    if stored != list(directions):
        close_study(study)
        what = f"the study {study.study_name!r} in {parsed.set(query={}).render_as_string()}"
        message = f"{what} is to {' and '.join(stored)}, but this one is to {' and '.join(directions)}"
        raise RequestError(f"{message}; give it another `name`")
    return study


def join_study(url: str, name: str | None, *, patience: Patience | None = None) -> optuna.Study:
    """Open a study that another process has begun; close it with `close_study`.

    Args:
        name: None takes the only one that is there.

    Raises:
        RequestError: when the URL or the server will not do, or the study is not there.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    parsed = parse_url(url)
    with _explained(parsed):
        storage = _storage(parsed, patience)
        names = sorted(study.study_name for study in storage.get_all_studies())
    if name not in names and (name is not None or len(names) != 1):
        storage.engine.dispose()
        stored = f"it has {', '.join(names)}" if names else "it has none; `tunery search --storage URL` begins one"
        if name:
            rule = f"there must be a study {name!r}"
        else:
            rule = "a study must be named (--study)" if names else "there must be a study"
        raise RequestError(f"{rule} in {parsed.set(query={}).render_as_string()}, but {stored}")
    with _explained(parsed):
        study = optuna.load_study(study_name=name or names[0], storage=storage)
        _read_all(study)
    return study


def _read_all(study: optuna.Study) -> None:
    """Read every row once: what is damaged is known before any work begins, and optuna remembers the rest."""
    try:
        study.get_trials(deepcopy=False)
        _ = study.user_attrs
    except Exception:
        close_study(study)
        raise


def close_study(study: optuna.Study) -> None:
    """Close every connection, so that nothing is left beside a SQLite file."""
    backend(study).engine.dispose()


@contextmanager
def opened(study: optuna.Study) -> Iterator[optuna.Study]:
    """Close the study at the end.

    Raises:
        RunError: when its database fails within the block.
    """
    try:
        yield study
    except StorageInternalError as error:
        reason = _reason(error.__cause__ or error, make_url(backend(study).url))
        what = f"the study's database could not be read or written: {reason}"
        raise RunError(f"{what}; once that is mended, the same command goes on") from error
    finally:
        close_study(study)


def backend(study: optuna.Study) -> CoreRDBStorage:
    """The database below optuna's cache, of a study that `open_study` opened."""
    storage = storage_below_cache(study)
    if isinstance(storage, CoreRDBStorage):
        return storage
    raise TypeError(f"a study that `open_study` opened is needed, but this one is kept in {type(storage).__name__}")


def parse_url(url: str) -> URL:
    """Raises:
    RequestError: which does not repeat what cannot be read, because a password may be in it.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        begins = url.partition(":")[0][:20]
        message = f"a storage URL has the form {_FORM}, but the one that begins with {begins!r} cannot be read"
        raise RequestError(f"{message}; special characters in a password are written as %XX") from None
    if parsed.drivername not in _DRIVERS:
        raise RequestError(f"a storage URL has the form {_FORM}, but this one begins with {parsed.drivername!r}")
    if re.search(r"[@\s]", parsed.host or ""):  # the rest of a password, which no message may repeat
        rule = "a storage URL has one @, before the host"
        raise RequestError(f"{rule}, but this one has more; special characters in a password are written as %XX")
    return parsed.set(drivername=_DRIVERS[parsed.drivername])


def _storage(parsed: URL, patience: Patience | None) -> CoreRDBStorage:
    url, driver = parsed.render_as_string(hide_password=False), parsed.drivername
    options, patience = dict(_OPTIONS[driver]), patience or Patience()
    if driver == "sqlite":  # a file has one process
        storage = _set_up(url, options)
    else:
        from tunery.hpo.storage.postgres import Connect  # needs psycopg

        connect = Connect(parsed, replace(patience, away=0.0))  # a server that was never there is not waited for
        options["creator"] = connect
        with _one_at_a_time(parsed, options):
            storage = _set_up(url, options)
        connect.patience = patience
    event.listen(storage.engine, "connect", partial(_prepare_connection, _ON_CONNECT[driver]))
    storage.engine.dispose()
    return storage


def _set_up(url: str, options: dict[str, Any]) -> CoreRDBStorage:
    """The database, with all tables."""
    storage = CoreRDBStorage(url, engine_kwargs=options)
    TABLES.create_all(storage.engine)
    return storage


def _prepare_connection(statements: Sequence[str], connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()
    connection.commit()


@contextmanager
def _one_at_a_time(parsed: URL, options: dict[str, Any]) -> Iterator[None]:
    """Keep other workers from making the tables meanwhile."""
    engine = create_engine(parsed, **options)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _SETTING_UP})
            yield
    finally:
        engine.dispose()


@contextmanager
def _explained(parsed: URL) -> Iterator[None]:
    shown = parsed.set(query={}).render_as_string()
    try:
        yield
    except ImportError:
        raise MissingExtra("psycopg", extra="postgres") from None
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = _reason(error.__cause__ or error, parsed)
        remedy = "see that it is there and may be written, or correct the storage URL"
        raise RequestError(f"the study's database must be reachable, but {shown} is not: {reason}; {remedy}") from None
    except _NOT_WRITTEN as error:
        reason = _reason(error, parsed)
        remedy = "put it back from a copy, or take another folder"
        raise RequestError(f"the study's database at {shown} is damaged: {reason}; {remedy}") from error
    except RuntimeError as error:
        raise RequestError(f"the study's database at {shown} was made by another optuna: {reason_of(error)}") from None


def _reason(error: BaseException, parsed: URL) -> str:
    """What the database said, in one line and without passwords."""
    reason = " ".join(str(getattr(error, "orig", None) or error).split())
    in_query = parsed.query.get("password", ())
    for secret in (parsed.password, *([in_query] if isinstance(in_query, str) else in_query)):
        reason = reason.replace(secret, "***") if secret else reason
    return reason
