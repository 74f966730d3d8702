"""Connections to a PostgreSQL server that may be silent for a while, or restart."""

import threading
import time
from collections.abc import Generator
from concurrent.futures import Future, wait
from typing import Any, Final, TypeVar, final

import psycopg
from sqlalchemy import URL

from tunery.errors import Interrupted
from tunery.hpo.storage.patience import Patience

T = TypeVar("T")

_LOOK: Final = 0.1
"""Seconds between two looks whether something asks to leave."""
_SLOW: Final = 3.0
"""Seconds after which a person is told that there is no connection yet."""
_SETTINGS: Final = {
    "connect_timeout": 10,
    # so that the operating system notices a machine that has gone without a word
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
}
_PAUSES: Final = (0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts to connect; the last is repeated."""


@final
class Connect:
    """Opens connections for an engine of SQLAlchemy, as its `creator`; what fails is tried again for a while."""

    def __init__(self, url: URL, patience: Patience | None = None) -> None:
        self._url = url
        dialect: Any = url.get_dialect()  # SQLAlchemy types it without arguments
        self._args, options = dialect(dbapi=psycopg).create_connect_args(url)
        self._options = {**options, **_SETTINGS}
        self.patience = patience or Patience()
        self._is_away = False
        self._telling = threading.Lock()

    def __reduce__(self) -> tuple[type["Connect"], tuple[URL]]:
        """A copy in another process says nothing, and is not asked to leave."""
        return Connect, (self._url,)

    def __call__(self) -> "_Watched":
        """A new connection.

        Raises:
            psycopg.OperationalError: when there is none to be had.
            Interrupted: when asked to leave meanwhile.
        """
        began, pauses = time.monotonic(), iter(_PAUSES)
        while True:
            try:
                connection = self._attempt(began)
            except psycopg.OperationalError as error:
                if time.monotonic() - began > self.patience.away:
                    raise
                self._tell(is_away=True, reason=" ".join(str(error).split()))
                self._pause(next(pauses, _PAUSES[-1]), began)
            else:
                self._tell(is_away=False)
                return connection

    def _attempt(self, began: float) -> "_Watched":
        """Connect in a thread: nothing else ends an attempt before its time is up."""
        attempt = Future[_Watched]()

        def connect() -> None:
            try:
                attempt.set_result(_Watched.connect(*self._args, **self._options))
            except Exception as error:
                attempt.set_exception(error)

        threading.Thread(target=connect, daemon=True).start()
        try:
            while not wait([attempt], _LOOK).done:
                self._require_patience(began)
                if time.monotonic() - began > _SLOW:
                    self._tell(is_away=True, reason="no answer")
        except Interrupted:
            attempt.add_done_callback(_close)
            raise
        connection = attempt.result()
        connection.patience = self.patience
        return connection

    def _pause(self, seconds: float, began: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._require_patience(began)
            time.sleep(_LOOK)

    def _require_patience(self, began: float) -> None:
        """Raises:
        Interrupted: when asked to leave, and the wait was long enough.
        """
        if (by := self.patience.ended_by(time.monotonic() - began)) is not None:
            raise Interrupted(f"{by} came while the study's database did not answer; the same command goes on")

    def _tell(self, *, is_away: bool, reason: str = "") -> None:
        """Say once that it is away, and once that it is back, whichever thread notices."""
        with self._telling:
            if is_away and not self._is_away:
                limit = f"{self.patience.away:g} s"
                self.patience.say(f"the study's database does not answer; trying again for {limit} ({reason})")
            if self._is_away and not is_away:
                self.patience.say("the study's database answers again")
            self._is_away = is_away


def _close(attempt: "Future[_Watched]") -> None:
    """A connection that comes when the wait for it has ended."""
    if attempt.exception() is None:
        attempt.result().close()


@final
class _Watched(psycopg.Connection[Any]):
    """A connection on which an answer is waited for no longer than some time, or until asked to leave."""

    patience = Patience()

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
        """Do what psycopg does with the socket; it looks up ten times a second."""
        return super().wait(self._timed(gen), *args, **options)

    def _timed(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        began, ready = time.monotonic(), None
        try:
            while True:
                ready = yield gen.send(ready)
                if not ready and (why := self._why_to_end(time.monotonic() - began)):
                    self.pgconn.finish()
                    raise psycopg.OperationalError(why)
        except StopIteration as end:
            answer: T = end.value
            return answer

    def _why_to_end(self, seconds: float) -> str | None:
        if seconds > self.patience.answer:
            return f"no answer in {self.patience.answer:g} s"
        by = self.patience.ended_by(seconds)
        return by and f"{by} came before an answer"
