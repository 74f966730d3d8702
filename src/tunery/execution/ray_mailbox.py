"""Where a run on another machine and its study leave word for one another."""

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import final

from tunery.execution.runner import Epoch


@dataclass
class _Box:
    """What is known of one run."""

    heard: float | None = None
    epoch: Epoch | None = None
    answers: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)
    leave: str | None = None


@final
class Mailbox:
    """Runs by number. Everything happens in one event loop; `RayTasks` has it as an actor, which both sides call."""

    def __init__(self) -> None:
        self._boxes: defaultdict[int, _Box] = defaultdict(_Box)

    async def ask(self, run: int, epoch: Epoch) -> str | None:
        """From a run: what does the study say to this epoch?"""
        box = self._boxes[run]
        box.heard, box.epoch = time.monotonic(), epoch
        return await box.answers.get()

    async def alive(self, run: int) -> str | None:
        """From a run: it makes progress; is it asked to leave, and why?"""
        self._boxes[run].heard = time.monotonic()
        return self._boxes[run].leave

    async def look(self, run: int) -> tuple[float | None, Epoch | None]:
        """From the study: the seconds since the run was heard of, if ever, and an epoch that waits for an answer."""
        box = self._boxes[run]
        epoch, box.epoch = box.epoch, None
        return None if box.heard is None else time.monotonic() - box.heard, epoch

    async def answer(self, run: int, reason: str | None) -> None:
        """From the study: why the run is given up, if it is."""
        box = self._boxes[run]
        box.heard = time.monotonic()  # it was the study that took its time
        box.answers.put_nowait(reason)

    async def leave(self, run: int, why: str) -> None:
        """From the study: the run is to save and leave."""
        self._boxes[run].leave = why

    async def forget(self, run: int) -> None:
        """From the study: the run is over."""
        self._boxes.pop(run, None)
