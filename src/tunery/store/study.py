"""All runs of a study on one disk: what they share, what stays of them, and room for what comes."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar, final

from tunery.errors import Damaged
from tunery.schema.checkpoint import Checkpoint
from tunery.schema.metrics import Direction
from tunery.schema.results import Storage
from tunery.store.events import record_event
from tunery.store.files import size
from tunery.store.folder import RunFolder
from tunery.store.inventory import runs_of, storage_of
from tunery.store.objects import Objects
from tunery.store.resume import Point
from tunery.store.retention import Keep, RunState, retained
from tunery.store.space import Room

T = TypeVar("T")

WEIGHTS: Final = ("objects", "resume", "staging", "best")
"""Where weights and training state lie within a run or study."""
_REASONS: Final = (
    "nothing needs it any more",
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

    One process at a time works on it. What `checkpoints.json` and the resume points of its runs do not refer to is
    garbage, whatever it is.
    """

    def __init__(
        self,
        root: Path,
        rule: Checkpoint,
        *,
        direction: Direction,
        say: Callable[[str], None] = ignore,
        stopping: Callable[[], bool] = never,
    ) -> None:
        """Args:
        direction: which way a trial's value is better.
        say: is told what a person should know while the work goes on.
        stopping: whether a signal asked to stop, so that waiting for room ends.
        """
        self.root = root
        self.objects = Objects(root / "objects")
        self.say = say
        self._rule = rule
        self._direction = direction
        self._spent: dict[Path, RunState] = {}
        self._unproven = {(run.path, point.step) for run in runs_of(root) for point in run.resume.points()}
        self._room = Room(
            root,
            rule,
            used=self.used,
            evict=self.tidy,
            inventory=lambda: self.storage().items,
            say=say,
            stopping=stopping,
        )

    def run(self, path: Path | None = None) -> RunFolder:
        """The run in `path`, which is a trial's folder; None: the root itself. It shares the study's objects."""
        return RunFolder(path or self.root, objects=self.objects)

    def tidy(self, pressure: int = 0) -> int:
        """Remove what the rule does not keep at this pressure, 0 to 3. Returns the bytes of weights freed.

        What costs no room is done first, so that a full disk keeps nothing from being freed.
        """
        runs = [self._look(folder) for folder in runs_of(self.root)]
        keeps = retained([run.state for run in runs], self._rule, direction=self._direction, pressure=pressure)
        plan = [(run, keep) for run, keep in zip(runs, keeps, strict=True) if run.folder.path not in self._spent]
        needed = {digest for run, keep in plan for digest in _drop_points(run, keep)}
        freed = self._sweep(needed | _recorded(plan), why=_REASONS[min(pressure, 1)])
        for run, keep in plan:
            run.folder.write_kept(keep.records)
        return freed + self._sweep(needed | _recorded(plan), why=_REASONS[pressure])

    def write(self, need: int, action: Callable[[], T]) -> T:
        """Act when there is room for `need` bytes, an upper bound of what `action` adds.

        `action` ends by referring to what it wrote: when room is made, whatever nothing refers to goes. It may be
        called again, after the file system has refused and more room was made.

        Raises:
            DiskFull: when there is no room and `low_disk` allows to make none.
            Interrupted: when a signal came while room was waited for.
        """
        return self._room.write(need, action)

    def used(self) -> int:
        """Bytes of weights and training state, those of all trials together."""
        unfinished = [run.path for run in runs_of(self.root) if run.path not in self._spent]
        return sum(size(path / name) for path in unfinished for name in WEIGHTS)

    def storage(self) -> Storage:
        """What is stored, why, and how many bytes that saves."""
        return storage_of(self.root)

    def _look(self, folder: RunFolder) -> _Run:
        if (known := self._spent.get(folder.path)) is not None:
            return _Run(folder, known)
        result = folder.result()
        if result is None:
            points = tuple(folder.resume.points())
            whole = tuple(point.step for point in points if len(points) == 1 or self._is_whole(folder, point))
            return _Run(folder, RunState("running", None, folder.kept(), whole), points)
        exported = folder.path == self.root and (self.root / "best").is_dir()
        state = RunState(result.status, result.objective.value, folder.kept(), (), exported=exported)
        if not state.kept and not folder.resume.root.exists():
            self._spent[folder.path] = state  # nothing is there that could ever go
        return _Run(folder, state)

    def _is_whole(self, folder: RunFolder, point: Point) -> bool:
        """Points that this process has published are; those of an earlier one are looked at, once."""
        key = (folder.path, point.step)
        if key not in self._unproven:
            return True
        try:
            for digest in point.needs():
                self.objects.check(digest)
        except Damaged:
            return False
        self._unproven.remove(key)
        return True

    def _sweep(self, needed: set[str], *, why: str) -> int:
        freed = 0
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
