"""All runs of a study on one disk: what they share, what stays of them, and room for what comes."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar, final

from tunery.errors import Damaged
from tunery.schema.config.checkpoint import Checkpoint
from tunery.schema.results.direction import Direction
from tunery.schema.results.storage import Storage
from tunery.store.disk.disk_budget import DiskBudget
from tunery.store.disk.files import entries, make_folder, size_of
from tunery.store.disk.lock import alone
from tunery.store.disk.ownership import BEST, OBJECTS, PRETRAIN, RESCORED, RESUME, TRIALS, is_own, is_temporary
from tunery.store.events import record_event
from tunery.store.features import Features, Shape, features_room
from tunery.store.folder import RunFolder
from tunery.store.inventory import folds_in, stages_in, storage_of, trials_in
from tunery.store.objects.objects import Objects
from tunery.store.resume import Point
from tunery.store.retention import Keep, Level, RunState, retained

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

T = TypeVar("T")

_WEIGHTS: Final = (OBJECTS, RESUME, BEST)
"""Where weights and training state lie within a run or study, beside what is half-written or half-removed."""
_HOLDINGS: Final = ("checkpoints.json", RESUME)
"""A trial that has none of these holds nothing."""
_NEEDED_ROOM: Final = "room was needed: can be computed again"
_REASONS: Final = {
    Level.CONFIGURED: "nothing refers to it any more",
    Level.NO_CANDIDATES: "room was needed: kept for the end of the study alone",
    Level.NO_SPARE: "room was needed: a spare resume point",
    Level.ONE_PER_TRIAL: "room was needed: more than the best epoch of its trial",
    Level.ONE_PER_STUDY: "room was needed: not of the best trial",
}
"""Why a level removes."""


def ignore(text: str) -> None:
    """Say nothing."""


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
    `checkpoints.json` and the resume points of the runs do not refer to is unreferenced, whichever process looks, and
    a half-written object is a dead process's. A turn ends with its process.
    """

    def __init__(
        self,
        root: Path,
        rule: Checkpoint,
        *,
        direction: Direction,
        candidates: int = 0,
        comparison: Path | None = None,
        above: "StudyStore | None" = None,
        say: Callable[[str], None] = ignore,
        stopping: Callable[[], bool] = never,
    ) -> None:
        """Args:
        direction: which way a trial's value is better.
        candidates: best trials whose weights stay until the study ends, where they are more than the rule keeps.
        comparison: root of the comparison that a single run is a cell of: its cells share features and pretraining.
        above: of the run or study that needs the fold or the stage of continued pretraining in `root`. They share a
            budget, and what the one needs room for the other makes room for.
        say: is told what a person should know while the work goes on.
        stopping: whether a signal asked to stop, so that waiting for room ends.
        """
        self.root = root
        self.objects = Objects(root / OBJECTS)
        self.features: Features = above.features if above else Features(comparison or _main(root))
        self.pretrain: Path = above.pretrain if above else (comparison or _main(root)) / PRETRAIN
        """Where the stages of continued pretraining are."""
        self._above = above
        self.say = say
        self._rule = rule
        self._direction = direction
        self._candidates = candidates
        self._own: dict[Path, RunFolder] = {}
        self._emptied: set[str] = set()
        self._checked: set[tuple[Path, int]] = set()
        self._budget = DiskBudget(
            root, rule, used=self.used, free=self._free, turn=self._turn, say=say, stopping=stopping
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

    def tidy(self, level: Level = Level.CONFIGURED) -> int:
        """Remove what the rule does not keep at this eviction level. Returns the bytes of weights freed."""
        with self._turn():
            return self._tidy(level)

    def conclude(self) -> int:
        """The study has ended: from now on it has no candidates, and its features are not needed. Returns the bytes
        freed."""
        self._candidates = 0
        features = self.features.clear() if self.features.root == self.root else 0
        return features + self.tidy()

    def end_run(self, folder: RunFolder) -> None:
        """A run has its result: free what only an unfinished one needs, the weights of its folds included."""
        for path in folds_in(folder.path, ()):
            fold = RunFolder(path)
            fold.write_kept(())
            fold.close()
            fold.objects.clear()
        if folder.path == self.root:
            self.conclude()
        else:
            self.tidy()
        folder.close()

    def resume_run(self, folder: RunFolder, read: Callable[[Point], T]) -> tuple[Point, T] | None:
        """Put a run back to where its newest whole resume point was, or to its start where it has none.

        Returns:
            The point, and what was read of it.
        """
        with self._turn():
            latest = folder.resume.read_latest(read)
            folder.write_kept(latest[0].kept if latest else ())
            self._tidy(Level.CONFIGURED)
        return latest

    def write(self, need: int, action: Callable[[], T]) -> T:
        """Act when there is room for `need` bytes, an upper bound of what `action` adds; no other process writes then.

        `action` ends by referring to what it wrote: when room is made, whatever nothing refers to goes. What it says of
        epochs that are kept, it reads itself: another process may have needed their room. It may be called again, after
        the file system has refused and more room was made.

        Raises:
            DiskFull: when there is no room and `low_disk` allows to make none.
            Interrupted: when a signal came while room was waited for.
        """
        return self._budget.write(need, action, alone=True)

    def export(self, need: int, action: Callable[[], T]) -> T:
        """The same for an `action` that takes long and adds no objects: others wait for it only under `max_disk`."""
        return self._budget.write(need, action, alone=self._rule.max_disk is not None)

    def keep_features(self, key: str, shape: Shape, parts: "Iterable[npt.NDArray[np.float32]]") -> None:
        """Keep features for whoever needs the same, if there is room for them as things are. Nothing is freed or waited
        for, and what the disk refuses is let be.

        Args:
            key: 32 hexadecimal digits.
            parts: follow one another; each is written as it comes, and none is asked for where there is no room.
        """
        begun: list[Callable[[npt.NDArray[np.float32]], None]] = []
        with suppress(OSError), ExitStack() as stack:
            writing = self.features.writing(key, shape)
            self._budget.write_spare(features_room(shape), lambda: begun.append(stack.enter_context(writing)))
            for write in begun:
                for part in parts:
                    write(part)

    def used(self) -> int:
        """Bytes of weights, training state and features, those of all trials together; runs that are rescored count as
        trials, and folds and stages of continued pretraining count too."""
        if self._above is not None:
            return self._above.used()
        main = _main(self.root)
        weights = sum(self._used(root) for root in (main, main / RESCORED))
        return weights + self.used_by_folds() + self.features.used() + self.used_by_stages()

    def used_by_folds(self) -> int:
        """Bytes of weights and training state of folds, those of trials included."""
        main = _main(self.root)
        finished = self._emptied if main == self.root else ()
        trials = [name for name in trials_in(main) if name not in finished]
        folds = [*folds_in(main, trials), *folds_in(main / RESCORED, trials_in(main / RESCORED))]
        return sum(map(self._used, folds))

    def used_by_stages(self) -> int:
        """Bytes of weights and training state of continued pretraining, which no other run gives back."""
        return sum(self._used(self.pretrain / name) for name in stages_in(self.pretrain))

    def storage(self) -> Storage:
        """What is stored, why, and how many bytes that saves."""
        return storage_of(self.root)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        make_folder(self.objects.root)
        with self._above._turn() if self._above else nullcontext(), alone(self.objects.root, say=self.say):
            yield

    def _used(self, root: Path) -> int:
        folders = [root.resolve(), *(root / TRIALS / name for name in self._holding(root))]
        inside = (entry for folder in folders for entry in entries(folder))
        return sum(size_of(entry) for entry in inside if entry.name in _WEIGHTS or is_temporary(Path(entry)))

    def _holding(self, root: Path) -> Iterator[str]:
        """Trials that hold weights or training state, in the order of their numbers."""
        emptied = self._emptied if root == self.root else set()
        for name in trials_in(root):
            if name not in emptied:
                trial = f"{root}/{TRIALS}/{name}"
                if any(os.path.exists(f"{trial}/{holding}") for holding in _HOLDINGS):
                    yield name
                elif os.path.exists(f"{trial}/result.json"):
                    emptied.add(name)  # nothing will ever be there again

    def _free(self, level: Level) -> int:
        """Make room for a write: features are the first to go."""
        freed = self._above._free(level) if self._above else self.features.clear(why=_NEEDED_ROOM)
        return freed + self._tidy(level)

    def _tidy(self, level: Level) -> int:
        """Decide what stays, then let go of the rest, and remove what nothing refers to.

        A reference goes before what it refers to, so that a crash in between leaves garbage and no gap. It is swept
        twice, because dropping points needs no room on the disk and writing `checkpoints.json` does: what the points
        alone referred to is removed first.
        """
        paths = [self.root, *(self.root / TRIALS / name for name in self._holding(self.root))]
        runs = [run for path in paths if (run := self._state(RunFolder(path, objects=self.objects), level))]
        states = [run.state for run in runs]
        keeps = retained(states, self._rule, candidates=self._candidates, direction=self._direction, level=level)
        needed: set[str] = set()
        for run, keep in zip(runs, keeps, strict=True):
            for point in _drop_points(run, keep):
                needed |= point.needs()
        spare = Level.NO_SPARE if level >= Level.NO_SPARE else Level.CONFIGURED
        freed = self._sweep(needed | _recorded(runs), why=_REASONS[spare])
        for run, keep in zip(runs, keeps, strict=True):
            run.folder.write_kept(keep.records)
        return freed + self._sweep(needed | _recorded(runs), why=_REASONS[level])

    def _state(self, folder: RunFolder, level: Level) -> _Run | None:
        """What the rule must know of a run; None where there is nothing to decide."""
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
        is_checked = len(points) > 1 and (own is not None or level >= Level.NO_SPARE)
        whole = tuple(point.step for point in points if not is_checked or self._is_whole(folder, point, own))
        return _Run(folder, RunState("running", None, None, kept, whole, elsewhere=own is None), points)

    def _is_whole(self, folder: RunFolder, point: Point, own: RunFolder | None) -> bool:
        """Points that this process has published are; those of another one are checked, once."""
        key = (folder.path, point.step)
        if key in self._checked or (own is not None and point.step in own.resume.published):
            return True
        try:
            for digest in point.needs():
                self.objects.check(digest)
        except Damaged:
            return False
        self._checked.add(key)
        return True

    def _sweep(self, needed: set[str], *, why: str) -> int:
        freed = 0
        for path in self.objects.half_written():
            path.unlink(missing_ok=True)
        for digest in sorted(self.objects.digests() - needed):
            path, size = self.objects.path(digest), self.objects.remove(digest)
            record_event(self.root, "removed", why=why, path=path, size=size)
            freed += size
        return freed


def _main(root: Path) -> Path:
    """The folder of the study itself, where `root` is that of its runs with other seeds."""
    return root.parent if root.name == RESCORED and is_own(root.parent) else root


def _recorded(runs: Sequence[_Run]) -> set[str]:
    """The objects that `checkpoints.json` of these runs refer to now."""
    return {record.digest for run in runs for record in run.folder.kept()}


def _drop_points(run: _Run, keep: Keep) -> list[Point]:
    """Drop all points of a finished run, and those older than all that stay, damaged ones included; return the rest."""
    if run.state.status != "running":
        run.folder.resume.clear()
        return []
    oldest = min(keep.points, default=0)
    for point in run.points:
        if point.step < oldest:
            run.folder.resume.drop(point.step)
    return [point for point in run.points if point.step >= oldest]
