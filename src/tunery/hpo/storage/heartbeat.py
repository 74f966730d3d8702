"""The signs of life of a worker that holds a trial."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, final

from optuna.exceptions import StorageInternalError

from tunery.errors import Interrupted

_ANSWER: Final = 1.0
"""Seconds in which a heartbeat is answered, if the server is well."""


@final
class Heartbeat:
    """Renews a lease again and again, in a thread of its own: the server may keep it waiting."""

    def __init__(
        self, renew: Callable[[], bool], *, name: str, interval: float, lease: float, clock: Callable[[], float]
    ) -> None:
        """Args:
        renew: renews the lease, and says whether it was still there.
        interval: seconds between two heartbeats.
        lease: seconds without one after which others may take the trial.
        clock: seconds, by which a worker finds out that it was frozen.
        """
        self._renew = renew
        self._interval = interval
        self._lease = lease
        self._clock = clock
        self.lost = threading.Event()
        self._is_over = False
        self._wake = threading.Event()
        self._answered = threading.Event()
        self._is_asking = False
        self._last = clock()
        self._thread = threading.Thread(target=self._renew_until_end, name=name, daemon=True)
        self._thread.start()

    def is_lost(self) -> bool:
        """Whether another worker has the trial. Where this one was frozen for a while, it asks the database at once."""
        if self._clock() - self._last > self._lease and not self._is_asking and not self.lost.is_set():
            self._answered.clear()
            self._wake.set()
            self._answered.wait(_ANSWER)
        return self.lost.is_set()

    def end(self) -> None:
        """End the thread; it is not waited for where the server is silent."""
        self._is_over = True
        self._wake.set()
        self._thread.join(_ANSWER)

    def _renew_until_end(self) -> None:
        while not self.lost.is_set():
            self._wake.wait(self._interval)
            if self._is_over:
                return
            self._wake.clear()
            self._is_asking = True
            with suppress(StorageInternalError, Interrupted):  # the server may come back; who leaves is asked elsewhere
                if not self._renew():
                    self.lost.set()
            self._last = self._clock()
            self._is_asking = False
            self._answered.set()
