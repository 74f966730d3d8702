"""Resume points: one manifest each, written whole and last; it counts while all that it names is intact."""

import json
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar, final

from tunery.errors import Damaged
from tunery.schema.results.run import CheckpointRecord
from tunery.store.disk.files import entries, remove_empty, write_text
from tunery.store.disk.ownership import is_number, is_temporary
from tunery.store.objects.digest import digest_of
from tunery.store.objects.objects import Objects, Stored

T = TypeVar("T")

_NAME: Final = "step-{}.json"


@dataclass(frozen=True)
class Point:
    """All that training goes on from: small things as JSON, tensors by the name of their object."""

    step: int
    """Optimizer steps done."""
    documents: Mapping[str, Any]
    objects: Mapping[str, Stored]
    kept: tuple[CheckpointRecord, ...]
    """The best epochs as they were then."""

    def needs(self) -> set[str]:
        """Names of the objects without which the point is of no use. Ties of the best are none of them."""
        kept = {record.digest for record in self.kept if record.kind != "co_best"}
        return kept | {stored.digest for stored in self.objects.values()}


@final
class ResumePoints:
    """The `resume/` folder of a run, with a manifest `step-<n>.json` per point."""

    def __init__(self, root: Path, objects: Objects) -> None:
        self.root = root
        self.published: set[int] = set()
        """Steps of the points that were published through this object."""
        self._objects = objects

    def publish(self, point: Point) -> None:
        """Write the manifest; the objects must be there. Nothing is dropped.

        Raises:
            OSError: when the disk refuses.
        """
        write_text(self.root / _NAME.format(point.step), _sealed(_body(point)))
        self.published.add(point.step)

    def points(self) -> list[Point]:
        """The points with a readable manifest, newest first; the objects are not looked at."""
        points = []
        for path in self._newest_first():
            with suppress(Damaged, FileNotFoundError):  # another process may have dropped it
                points.append(_read(path))
        return points

    def latest(self) -> Point | None:
        """The newest whole point, as `read_latest` finds it."""

        def check(point: Point) -> None:
            for stored in point.objects.values():
                self._objects.check(stored.digest)

        latest = self.read_latest(check)
        return latest[0] if latest else None

    def read_latest(self, read: Callable[[Point], T]) -> tuple[Point, T] | None:
        """The newest whole point and what was read of it. Damaged ones after it are dropped: they are not the newest.

        A warning per dropped point says what is damaged and how many steps are lost. Ties of the best that are gone
        are left out of the point.

        Args:
            read: reads the objects of a point; raises `Damaged` where one of them is not what was stored.
        """
        damaged: dict[Path, Damaged] = {}
        whole = None
        for path in self._newest_first():
            try:
                whole = self._whole(path, read)
                break
            except Damaged as error:
                damaged[path] = error
        for path, why in damaged.items():
            path.unlink()
            step, damage = _step(path), str(why).partition("; ")[0]  # without the remedy, which is what happens here
            what = f"resume point of step {step} is damaged ({damage})"
            if whole is None:
                loss = f"training starts over, {step} steps are lost"
            else:
                loss = f"training goes on from step {whole[0].step}, {step - whole[0].step} steps are trained again"
            warnings.warn(f"{what}; {loss}", stacklevel=2)
        return whole

    def drop(self, step: int) -> None:
        """Remove the point of `step`; its objects stay."""
        if not self.root.is_symlink():
            (self.root / _NAME.format(step)).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all points, the newest last, and the folder if nothing else is in it."""
        temporaries = [path for path in map(Path, entries(self.root)) if is_temporary(path)]
        for path in [*reversed(self._newest_first()), *temporaries]:
            path.unlink(missing_ok=True)
        remove_empty(self.root)

    def _newest_first(self) -> list[Path]:
        files = [Path(entry) for entry in entries(self.root) if entry.is_file(follow_symlinks=False)]
        return sorted(filter(is_point, files), key=_step, reverse=True)

    def _whole(self, path: Path, read: Callable[[Point], T]) -> tuple[Point, T]:
        point = _read(path)
        for record in point.kept:
            if record.kind != "co_best":
                self._objects.check(record.digest)
        kept = tuple(record for record in point.kept if self._is_intact(record))
        return replace(point, kept=kept), read(point)

    def _is_intact(self, record: CheckpointRecord) -> bool:
        try:
            self._objects.check(record.digest)
        except Damaged:
            return False
        return True


def is_point(path: Path) -> bool:
    """Whether a file is called like a manifest."""
    step = path.name.removeprefix("step-").removesuffix(".json")
    return is_number(step) and path.name == _NAME.format(step)


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


def _body(point: Point) -> dict[str, Any]:
    return {
        "step": point.step,
        "objects": {name: stored._asdict() for name, stored in point.objects.items()},
        "kept": [record.model_dump(mode="json") for record in point.kept],
        "documents": dict(point.documents),
    }


def _sealed(body: Any) -> str:
    """The manifest's text: the digest of the body, then the body."""
    text = json.dumps(body)
    return f'{{"digest": "{digest_of(text.encode())}",\n"point": {text}}}\n'


def _read(path: Path) -> Point:
    """The point of a manifest, if its text is, byte for byte, what would be written for it."""
    try:
        text = path.read_bytes().decode()
        body = json.loads(text)["point"]
        if text != _sealed(body):
            raise ValueError("the digest is that of another text")
        return Point(
            step=body["step"],
            documents=body["documents"],
            objects={name: Stored(**stored) for name, stored in body["objects"].items()},
            kept=tuple(CheckpointRecord(**record) for record in body["kept"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"{path.name} is not what was written") from error
