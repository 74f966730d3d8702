"""All runs of a study on one disk: what they share, what stays of them, and room for what comes."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypeVar, final

from tunery.errors import Damaged
from tunery.schema.config.checkpoint import Checkpoint
from tunery.schema.results.direction import Direction
from tunery.schema.results.storage import Storage
from tunery.store.disk.disk_budget import Room
from tunery.store.disk.files import entries, make_folder, size_of
from tunery.store.disk.lock import alone
from tunery.store.disk.ownership import BEST, OBJECTS, RESCORED, RESUME, TRIALS, is_temporary
from tunery.store.events import record_event
from tunery.store.folder import RunFolder
from tunery.store.inventory import storage_of, trials_in
from tunery.store.objects.objects import Objects
from tunery.store.resume import Point
from tunery.store.retention import CONFIGURED, NO_SPARE, Keep, RunState, retained

T = TypeVar("T")

_WEIGHTS: Final = (OBJECTS, RESUME, BEST)
"""Where weights and training state lie within a run or study, beside what is half-written or half-removed."""
_HOLDINGS: Final = ("checkpoints.json", RESUME)
"""A trial that has none of these holds nothing."""
_REASONS: Final = (
    "nothing needs it any more",
    "room was needed: kept for the end of the study alone",
    "room was needed: a spare resume point",
    "room was needed: more than the best epoch of its trial",
    "room was needed: not of the best trial",
)
"""Pressure -> why it removes."""


def ignore(text: str) -> None:
    """Tell nobody."""


def never() -> bool:
    """Nothing asks to stop."""
    return False


class _Run(NamedTuple):
    folder: RunFolder
    state: RunState
    points: tuple[Point, ...] = ()


@final
class StudyStore:
    """The folder of a study with its trials, or of a single run, which is a study of one.

    Any number of processes work on it, each with a store of its own. They take turns (`lock.alone`, on `objects/`):
    objects are written and referred to in one turn, and what stays is decided and the rest removed in one turn. So what
    `checkpoints.json` and the resume points of the runs do not refer to is garbage, whoever looks, and a half-written
    object is a dead process's. A turn ends with its process.
    """

    def __init__(
        self,
        root: Path,
        rule: Checkpoint,
        *,
        direction: Direction,
        candidates: int = 0,
        say: Callable[[str], None] = ignore,
        stopping: Callable[[], bool] = never,
    ) -> None:
        """Args:
        direction: which way a trial's value is better.
        candidates: best trials whose weights stay until the study ends, where they are more than the rule keeps.
        say: is told what a person should know while the work goes on.
        stopping: whether a signal asked to stop, so that waiting for room ends.
        """
        self.root = root
        self.objects = Objects(root / OBJECTS)
        self.say = say
        self._rule = rule
        self._direction = direction
        self._candidates = candidates
        self._own: dict[Path, RunFolder] = {}
        self._spent: set[str] = set()
        self._proven: set[tuple[Path, int]] = set()
        self._room = Room(
            root,
            rule,
            used=self.used,
            evict=self._tidy,
            inventory=lambda: self.storage().items,
            say=say,
            stopping=stopping,
            alone=self._alone,
        )

    @property
    def most_kept(self) -> int:
        """Finished trials whose weights may be there at once."""
        return max(self._rule.keep_best, self._rule.co_best, self._candidates)

    def run(self, path: Path | None = None) -> RunFolder:
        """The run in `path`, which is a trial's folder, for this process to work on; None: the root itself.

        It shares the study's objects.
        """
        run = RunFolder(path or self.root, objects=self.objects)
        return self._own.setdefault(run.path.resolve(), run)

    def tidy(self, pressure: int = CONFIGURED) -> int:
        """Remove what the rule does not keep at this pressure (`retention`). Returns the bytes of weights freed.

        What costs no room is done first, so that a full disk keeps nothing from being freed.
        """
        with self._alone():
            return self._tidy(pressure)

    def conclude(self) -> int:
        """The study has ended: from now on it has no candidates. Returns the bytes freed."""
        self._candidates = 0
        return self.tidy()

    def take_up(self, folder: RunFolder, read: Callable[[Point], T]) -> tuple[Point, T] | None:
        """Put a run back to where its newest whole resume point was, or to its start where it has none.

        Returns:
            The point, and what was read of it.
        """
        with self._alone():
            found = folder.resume.read_latest(read)
            folder.write_kept(found[0].kept if found else ())
            self._tidy(CONFIGURED)
        return found

    def write(self, need: int, action: Callable[[], T]) -> T:
        """Act when there is room for `need` bytes, an upper bound of what `action` adds; no other process writes then.

        `action` ends by referring to what it wrote: when room is made, whatever nothing refers to goes. What it says of
        epochs that are kept, it reads itself: another process may have needed their room. It may be called again, after
        the file system has refused and more room was made.

        Raises:
            DiskFull: when there is no room and `low_disk` allows to make none.
            Interrupted: when a signal came while room was waited for.
        """
        return self._room.write(need, action, alone=True)

    def export(self, need: int, action: Callable[[], T]) -> T:
        """The same for an `action` that takes long and adds no objects: others wait for it only under `max_disk`."""
        return self._room.write(need, action, alone=self._rule.max_disk is not None)

    def used(self) -> int:
        """Bytes of weights and training state, those of all trials together; runs that are rescored count as trials."""
        main = self.root.parent if self.root.name == RESCORED else self.root
        return sum(self._used(root) for root in (main, main / RESCORED))

    def storage(self) -> Storage:
        """What is stored, why, and how many bytes that saves."""
        return storage_of(self.root)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        make_folder(self.objects.root)
        with alone(self.objects.root, say=self.say):
            yield

    def _used(self, root: Path) -> int:
        places = [root.resolve(), *(root / TRIALS / name for name in self._holding(root))]
        found = (entry for place in places for entry in entries(place))
        return sum(size_of(entry) for entry in found if entry.name in _WEIGHTS or is_temporary(Path(entry)))

    def _holding(self, root: Path) -> Iterator[str]:
        """Trials that hold weights or training state, in the order of their numbers."""
        spent = self._spent if root == self.root else set()
        for name in trials_in(root):
            if name not in spent:
                trial = f"{root}/{TRIALS}/{name}"
                if any(os.path.exists(f"{trial}/{holding}") for holding in _HOLDINGS):
                    yield name
                elif os.path.exists(f"{trial}/result.json"):
                    spent.add(name)  # nothing will ever be there again

    def _tidy(self, pressure: int) -> int:
        paths = [self.root, *(self.root / TRIALS / name for name in self._holding(self.root))]
        runs = [run for path in paths if (run := self._look(RunFolder(path, objects=self.objects), pressure))]
        keeps = retained(
            [run.state for run in runs],
            self._rule,
            candidates=self._candidates,
            direction=self._direction,
            pressure=pressure,
        )
        plan = list(zip(runs, keeps, strict=True))
        needed = {digest for run, keep in plan for digest in _drop_points(run, keep)}
        freed = self._sweep(needed | _recorded(plan), why=_REASONS[NO_SPARE if pressure >= NO_SPARE else CONFIGURED])
        for run, keep in plan:
            run.folder.write_kept(keep.records)
        return freed + self._sweep(needed | _recorded(plan), why=_REASONS[pressure])

    def _look(self, folder: RunFolder, pressure: int) -> _Run | None:
        """What there is to decide about a run; None where that is nothing."""
        kept = folder.kept()
        if not kept and not folder.resume.root.exists():
            return None
        result = folder.result()
        if result is not None:
            exported = folder.path == self.root and (self.root / BEST).is_dir()
            value, loss = result.objective.value, result.loss
            return _Run(folder, RunState(result.status, value, loss, kept, (), exported=exported))
        own = self._own.get(folder.path.resolve())
        points = tuple(folder.resume.points())
        judged = len(points) > 1 and (own is not None or pressure >= NO_SPARE)
        whole = tuple(point.step for point in points if not judged or self._is_whole(folder, point, own))
        return _Run(folder, RunState("running", None, None, kept, whole, elsewhere=own is None), points)

    def _is_whole(self, folder: RunFolder, point: Point, own: RunFolder | None) -> bool:
        """Points that this process has published are; those of another one are looked at, once."""
        key = (folder.path, point.step)
        if key in self._proven or (own is not None and point.step in own.resume.published):
            return True
        try:
            for digest in point.needs():
                self.objects.check(digest)
        except Damaged:
            return False
        self._proven.add(key)
        return True

    def _sweep(self, needed: set[str], *, why: str) -> int:
        freed = 0
        for path in self.objects.half_written():
            path.unlink(missing_ok=True)
        for digest in sorted(self.objects.digests() - needed):
            path, gone = self.objects.path(digest), self.objects.remove(digest)
            record_event(self.root, "removed", why=why, path=path, size=gone)
            freed += gone
        return freed


def _recorded(plan: Iterable[tuple[_Run, Keep]]) -> set[str]:
    return {record.digest for run, _ in plan for record in run.folder.kept()}


def _drop_points(run: _Run, keep: Keep) -> set[str]:
    """Drop the points older than all that stay, damaged ones included; the names of objects that the others need."""
    if run.state.status != "running":
        run.folder.resume.clear()
        return set()
    oldest = min(keep.points, default=0)
    for point in run.points:
        if point.step < oldest:
            run.folder.resume.drop(point.step)
    return {digest for point in run.points if point.step >= oldest for digest in point.needs()}
