"""Room for weights and training state: asked for before every write, made, waited for or refused.

A policy is a generator. When it yields `TRY`, the write may be tried; when it is asked again, the file system has
refused although the numbers allowed it (a quota, or another's writing). When it yields `LATER`, it wants to be asked
again after a pause. When it ends, there is no room. It is asked while no other process of the study looks for room or
writes.
"""

import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Final, Literal, TypeVar, final

from tunery.errors import DiskFull, Interrupted
from tunery.schema.config.checkpoint import Checkpoint
from tunery.schema.results.storage import StoredItem
from tunery.schema.sizes import size_text
from tunery.store.events import FULL, record_event
from tunery.store.retention import CONFIGURED, PRESSURES

T = TypeVar("T")
Step = Literal["try", "later"]
TRY: Final[Step] = "try"
LATER: Final[Step] = "later"

POLL_SECONDS: Final = 2.0
"""How often `low_disk: wait` looks again."""
REFUSED: Final = "the file system has no room"


@final
class Room:
    """What a run or study may still write, and what it does when that is not enough."""

    def __init__(
        self,
        root: Path,
        rule: Checkpoint,
        *,
        used: Callable[[], int],
        evict: Callable[[int], int],
        inventory: Callable[[], Sequence[StoredItem]],
        say: Callable[[str], None],
        stopping: Callable[[], bool],
        alone: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Args:
        used: bytes of weights and training state in `root`.
        evict: frees what a pressure allows; returns bytes.
        inventory: what is stored, largest first.
        say: is told what a person should know.
        stopping: whether a signal asked to stop, so that no wait outlasts it.
        alone: keeps the other processes of the study from looking for room and from writing.
        """
        self._root = root
        self._rule = rule
        self._used = used
        self._inventory = inventory
        self._say = say
        self._stopping = stopping
        self._alone = alone
        self._told: set[str] = set()
        self.evict = evict

    def write(self, need: int, action: Callable[[], T], *, alone: bool) -> T:
        """Act when there is room for `need` bytes.

        Args:
            alone: whether nobody else may look for room or write while `action` does.

        Raises:
            DiskFull: when there is none.
            Interrupted: when a signal came while room was waited for.
        """
        refusal: OSError | None = None
        policy = _POLICIES[self._rule.low_disk](self, need)
        while True:
            with ExitStack() as held:
                held.enter_context(self._alone())
                step = next(policy, None)
                if step is None:
                    raise self.full(f"{REFUSED}: {refusal}") from refusal
                if step is LATER or not alone:
                    held.close()
                if step is LATER:
                    time.sleep(POLL_SECONDS)
                    continue
                try:
                    return action()
                except OSError as error:
                    if error.errno not in FULL:
                        raise
                    refusal = error

    def over_budget(self, need: int) -> str | None:
        """How `max_disk` would be crossed."""
        limit = self._rule.max_disk
        if limit is None or (used := self._used()) + need <= limit:
            return None
        told = f"{size_text(used)} are used and {size_text(need)} more are needed"
        return f"checkpoint.max_disk allows {size_text(limit)}, but {told}"

    def too_small(self, need: int) -> str | None:
        """How the file system itself is too small."""
        free = shutil.disk_usage(self._root).free
        if need <= free:
            return None
        return f"{REFUSED}: {size_text(free)} are free and {size_text(need)} are needed"

    def too_low(self, need: int) -> str | None:
        """How `min_free` would be crossed."""
        disk = shutil.disk_usage(self._root)
        keep = self._rule.min_free * disk.total
        if disk.free - need >= keep:
            return None
        rule = f"checkpoint.min_free keeps {self._rule.min_free:.0%} of the file system free ({size_text(keep)})"
        return f"{rule}, but {size_text(disk.free)} are free and {size_text(need)} are needed"

    def crossed(self, need: int) -> str | None:
        """The first of the rules that writing would break."""
        return self.over_budget(need) or self.too_small(need) or self.too_low(need)

    def full(self, rule: str) -> DiskFull:
        """The refusal, in words."""
        record_event(self._root, "refused", why=rule)
        large = [item for item in self._inventory() if item.kind != "records"][:3]
        named = "; ".join(f"{_short(item.path)} {size_text(item.bytes)} ({item.why})" for item in large)
        remedy = (
            f"`tunery clean {shlex.quote(str(self._root))} --delete` frees what nothing needs; "
            "a higher checkpoint.max_disk, checkpoint.low_disk=evict, or another --out gives room; "
            "then the same command resumes"
        )
        return DiskFull(f"{rule}. Largest: {named or 'nothing is stored yet'}. {remedy}")

    def notice(self, text: str) -> None:
        """Tell a person, once, that less stays free than was asked for."""
        if "beyond" not in self._told:
            self._told.add("beyond")
            record_event(self._root, "beyond", why=text)
            self._say(f"{text}; nothing more can be freed, so the run goes on while there is room at all")

    def about_to_wait(self, rule: str, *, first: bool) -> None:
        """See that there is reason to wait; the first time, say what for."""
        if self._stopping():
            raise Interrupted("stopped while waiting for room on the disk; the same command resumes")
        if first:
            record_event(self._root, "waiting", why=rule)
            self._say(f"waiting for room: {rule}")


def _short(path: str) -> str:
    """Names of objects are long, and their beginnings tell them apart."""
    return path if len(path) <= 32 else f"{path[:24]}…"


def _stop(room: Room, need: int) -> Iterator[Step]:
    """What nothing needs may go: a trial of another process may just have ended."""
    if room.crossed(need):
        room.evict(CONFIGURED)
    if rule := room.crossed(need):
        raise room.full(rule)
    yield TRY


def _wait(room: Room, need: int) -> Iterator[Step]:
    """Room on the file system may come; under `max_disk` it cannot, since only this study writes there."""
    while True:
        if room.over_budget(need):
            room.evict(CONFIGURED)
        if rule := room.over_budget(need):
            raise room.full(rule)
        first = True
        while rule := room.crossed(need):
            room.about_to_wait(rule, first=first)
            yield LATER
            first = False
        yield TRY
        room.about_to_wait(REFUSED, first=True)
        yield LATER


def _evict(room: Room, need: int) -> Iterator[Step]:
    for pressure in PRESSURES:
        if room.crossed(need):
            room.evict(pressure)
    if rule := room.over_budget(need) or room.too_small(need):
        raise room.full(rule)
    if rule := room.too_low(need):
        room.notice(rule)
    yield TRY
    for pressure in PRESSURES:
        if room.evict(pressure):
            yield TRY


_POLICIES: Final[dict[str, Callable[[Room, int], Iterator[Step]]]] = {"stop": _stop, "wait": _wait, "evict": _evict}
