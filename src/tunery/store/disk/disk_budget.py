"""What a run or study may still write: asked before every write; room is made, waited for or refused."""

import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Final, TypeVar, final

from tunery.errors import DiskFull, Interrupted
from tunery.schema.config.checkpoint import Checkpoint
from tunery.schema.sizes import size_text
from tunery.store.events import FULL, record_event
from tunery.store.inventory import storage_of
from tunery.store.retention import Level

T = TypeVar("T")

POLL_SECONDS: Final = 2.0
"""How often `low_disk: wait` looks again."""
REFUSED: Final = "the file system has no room"

_LEVELS: Final = {"stop": (Level.CONFIGURED,), "wait": (Level.CONFIGURED,), "evict": tuple(Level)}
"""What `low_disk` allows to free for a write. Unreferenced files may always go, for a trial of another process may just
have ended, and so may features."""


@final
class DiskBudget:
    """The limits of a run or study on its disk, and what is done where a write would cross them."""

    def __init__(
        self,
        root: Path,
        rule: Checkpoint,
        *,
        used: Callable[[], int],
        free: Callable[[Level], int],
        turn: Callable[[], AbstractContextManager[None]],
        say: Callable[[str], None],
        stopping: Callable[[], bool],
    ) -> None:
        """Args:
        used: bytes of weights and training state in `root`.
        free: removes what is not kept at an eviction level; returns bytes. It is called within a turn.
        turn: keeps the other processes of the study from making room and from writing.
        say: is told what a person should know.
        stopping: whether a signal asked to stop, so that no wait outlasts it.
        """
        self._root = root
        self._rule = rule
        self._used = used
        self._free = free
        self._turn = turn
        self._say = say
        self._stopping = stopping
        self._is_noticed = False

    def write(self, need: int, action: Callable[[], T], *, alone: bool) -> T:
        """Act when there is room for `need` bytes.

        Args:
            alone: whether no other process may make room or write while `action` does.

        Raises:
            DiskFull: when there is none.
            Interrupted: when a signal came while room was waited for.
        """
        refusal: OSError | None = None
        levels = iter(_LEVELS[self._rule.low_disk])
        is_waiting = False
        while True:
            with ExitStack() as turn:
                turn.enter_context(self._turn())
                obstacle = self._make_room(need) if refusal is None else self._make_more_room(refusal, levels)
                if obstacle is None:
                    if not alone:
                        turn.close()
                    try:
                        return action()
                    except OSError as error:
                        if error.errno not in FULL:
                            raise
                        refusal = error
                        continue
            if self._stopping():
                raise Interrupted("stopped while waiting for room on the disk; the same command resumes")
            if not is_waiting:
                record_event(self._root, "waiting", why=obstacle)
                self._say(f"waiting for room: {obstacle}")
            refusal, is_waiting = None, True
            time.sleep(POLL_SECONDS)

    def write_spare(self, need: int, action: Callable[[], object]) -> None:
        """Act when `need` more bytes cross no limit as things are, while no other process writes. Nothing is freed or
        waited for, and what the disk refuses is let be: `action` begins what can be done without, and is quick.
        """
        with suppress(OSError), self._turn():
            if self._crossed(need) is None:
                action()

    def _make_room(self, need: int) -> str | None:
        """Free what `low_disk` allows, level after level, until no limit is crossed.

        Room on the file system may come by waiting; under `max_disk` it cannot, since only this study writes there.

        Returns:
            What has to be waited for; None where the write may be tried.

        Raises:
            DiskFull: when there is nothing to wait for.
        """
        for level in _LEVELS[self._rule.low_disk]:
            if self._crossed(need):
                self._free(level)
        obstacle = self._crossed(need)
        if obstacle is None:
            return None
        if self._rule.low_disk == "evict" and not (self._over_budget(need) or self._too_small(need)):
            self._notice(obstacle)
            return None
        if self._rule.low_disk == "wait" and not self._over_budget(need):
            return obstacle
        raise self._full(obstacle)

    def _make_more_room(self, refusal: OSError, levels: Iterator[Level]) -> str | None:
        """The same where the file system has refused although the numbers allowed it: a quota, or another's writing.

        Args:
            levels: those that were not yet freed for this write; taken until one has freed something.
        """
        if any(self._free(level) for level in levels):
            return None
        if self._rule.low_disk == "wait":
            return REFUSED
        raise self._full(f"{REFUSED}: {refusal}") from refusal

    def _crossed(self, need: int) -> str | None:
        """The first of the limits that writing would cross, in words."""
        return self._over_budget(need) or self._too_small(need) or self._too_low(need)

    def _over_budget(self, need: int) -> str | None:
        limit = self._rule.max_disk
        if limit is None or (used := self._used()) + need <= limit:
            return None
        numbers = f"{size_text(used)} are used and {size_text(need)} more are needed"
        return f"checkpoint.max_disk allows {size_text(limit)}, but {numbers}"

    def _too_small(self, need: int) -> str | None:
        free = shutil.disk_usage(self._root).free
        if need <= free:
            return None
        return f"{REFUSED}: {size_text(free)} are free and {size_text(need)} are needed"

    def _too_low(self, need: int) -> str | None:
        disk = shutil.disk_usage(self._root)
        keep = self._rule.min_free * disk.total
        if disk.free - need >= keep:
            return None
        rule = f"checkpoint.min_free keeps {self._rule.min_free:.0%} of the file system free ({size_text(keep)})"
        return f"{rule}, but {size_text(disk.free)} are free and {size_text(need)} are needed"

    def _notice(self, obstacle: str) -> None:
        """Tell a person, once, that less stays free than was asked for."""
        if not self._is_noticed:
            self._is_noticed = True
            record_event(self._root, "beyond", why=obstacle)
            self._say(f"{obstacle}; nothing more can be freed, so the run goes on while there is room at all")

    def _full(self, obstacle: str) -> DiskFull:
        record_event(self._root, "refused", why=obstacle)
        large = [item for item in storage_of(self._root).items if item.kind != "records"][:3]
        # names of objects are long, and their beginnings tell them apart
        paths = [item.path if len(item.path) <= 32 else f"{item.path[:24]}…" for item in large]
        items = [f"{path} {size_text(item.bytes)} ({item.why})" for path, item in zip(paths, large, strict=True)]
        remedy = (
            f"`tunery clean {shlex.quote(str(self._root))} --delete` removes unreferenced files; "
            "a higher checkpoint.max_disk, checkpoint.low_disk=evict, or another --out gives room; "
            "then the same command resumes"
        )
        return DiskFull(f"{obstacle}. Largest: {'; '.join(items) or 'nothing is stored yet'}. {remedy}")
