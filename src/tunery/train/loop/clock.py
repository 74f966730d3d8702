"""Seconds by phase, on top of what earlier processes spent on the same run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tunery.schema.results.run import Seconds


class Clock:
    """Adds up wall-clock seconds; a phase inside another is taken out of the outer one."""

    def __init__(self, before: Seconds) -> None:
        self._before = before
        self._spent = {"load": 0.0, "train": 0.0, "evaluate": 0.0}
        self._nested = 0.0
        self._started = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the block as `load`, `train` or `evaluate`."""
        started, outer = time.perf_counter(), self._nested
        self._nested = 0.0
        try:
            yield
        finally:
            elapsed = time.perf_counter() - started
            self._spent[name] += elapsed - self._nested
            self._nested = outer + elapsed

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Count nothing of the block, not in the total either: it has a record of its own."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._started += time.perf_counter() - began

    def seconds(self) -> Seconds:
        """The sum up to now."""
        spent = {name: getattr(self._before, name) + value for name, value in self._spent.items()}
        return Seconds(**spent, total=self._before.total + time.perf_counter() - self._started)
