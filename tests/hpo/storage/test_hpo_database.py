"""Opening the study's database: how SQLite is set up, and what is said of URLs that will not do."""

import sqlite3
import sys
import traceback
from pathlib import Path

import pytest
from sqlalchemy import text

from tunery.errors import MissingExtra, RequestError
from tunery.hpo.storage.database import backend, close_study, open_study, sqlite_url
from tunery.hpo.storage.patience import Patience

PASSWORD = "s3cret"


def pragma(study: object, name: str) -> object:
    with backend(study).engine.connect() as connection:  # type: ignore[arg-type]
        return connection.execute(text(f"PRAGMA {name}")).scalar()


def test_sqlite_writes_ahead_and_leaves_nothing_beside_its_file(tmp_path: Path) -> None:
    study = open_study(sqlite_url(tmp_path), name="first", directions=["maximize"])
    study.set_user_attr("known", True)
    found = [pragma(study, name) for name in ("journal_mode", "synchronous", "busy_timeout")]
    assert found == ["wal", 1, 60000]
    assert (tmp_path / "study.db-wal").exists()
    close_study(study)
    assert [path.name for path in tmp_path.iterdir()] == ["study.db"]

    again = open_study(sqlite_url(tmp_path), name="renamed", directions=["maximize"])
    assert again.study_name == "first" and again.user_attrs == {"known": True}
    close_study(again)


def test_other_directions_are_refused(tmp_path: Path) -> None:
    close_study(open_study(sqlite_url(tmp_path), name="study", directions=["maximize"]))
    with pytest.raises(
        RequestError, match=r"is to maximize, but this one is to maximize and minimize; give it another"
    ):
        open_study(sqlite_url(tmp_path), name="study", directions=["maximize", "minimize"])


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("not a database, by any measure" * 50)
    with pytest.raises(
        RequestError, match=r"must be reachable, but sqlite:.*study.db is not: file is not a database; see"
    ):
        open_study(sqlite_url(tmp_path), name="study", directions=["maximize"])


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"unable to open database file; see that it is there and may be written"):
        open_study(sqlite_url(tmp_path / "nowhere"), name="study", directions=["maximize"])


def test_a_database_of_another_optuna(tmp_path: Path) -> None:
    close_study(open_study(sqlite_url(tmp_path), name="study", directions=["maximize"]))
    with sqlite3.connect(tmp_path / "study.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99'")
    connection.close()
    with pytest.raises(RequestError, match=r"study.db was made by another optuna: .* updating optuna"):
        open_study(sqlite_url(tmp_path), name="study", directions=["maximize"])


@pytest.mark.parametrize(
    "url", ["postgresql://ann:{}@127.0.0.1:1/tunery", "postgresql://127.0.0.1:1/tunery?password={}"]
)
def test_a_server_that_does_not_answer(url: str) -> None:
    with pytest.raises(
        RequestError, match=r"reachable, but postgresql\+psycopg://.*127.0.0.1:1/tunery is not: .*refused"
    ) as raised:
        open_study(url.format(PASSWORD), name="study", directions=["maximize"])
    assert PASSWORD not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"mysql://ann:{PASSWORD}@host/db", r"the form `sqlite:.*`postgresql:.*, but this one begins with 'mysql'"),
        (f"postgresql+pg8000://ann:{PASSWORD}@host/db", r"but this one begins with 'postgresql\+pg8000'"),
        (
            f"postgresql:/ann:{PASSWORD}@host",
            r"begins with 'postgresql' cannot be read; special characters in a password",
        ),
        (f"postgresql://ann:{PASSWORD}@host:port/db", r"begins with 'postgresql' cannot be read"),
    ],
)
def test_urls_that_will_not_do(url: str, message: str) -> None:
    with pytest.raises(RequestError, match=message) as raised:
        open_study(url, name="study", directions=["maximize"])
    assert PASSWORD not in "".join(traceback.format_exception(raised.value))


def test_a_driver_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"psycopg is not installed. Type: pip install 'tunery\[postgres\]'"):
        open_study("postgresql://127.0.0.1/tunery", name="study", directions=["maximize"])


def test_who_is_to_leave_waits_for_one_answer_and_not_for_the_next() -> None:
    asked: list[str] = []
    patience = Patience(leave=lambda: asked[0] if asked else None)
    assert [patience.ended_by(seconds) for seconds in (0.0, 100.0)] == [None, None]
    asked.append("SIGINT")
    assert [patience.ended_by(seconds) for seconds in (0.0, 2.0, 0.0)] == [None, "SIGINT", "SIGINT"]
