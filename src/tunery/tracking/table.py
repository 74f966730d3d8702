"""From tracker specs to trackers."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tunery.schema.config import tracking as schema
from tunery.tracking.jsonl import Jsonl
from tunery.tracking.tensorboard import TensorBoardTracker
from tunery.tracking.tracker import Tracker

TRACKERS: dict[type[Any], Callable[[Path], Tracker]] = {schema.TensorBoard: TensorBoardTracker}


def make_trackers(specs: Iterable[schema.Tracker], folder: Path) -> list[Tracker]:
    """The JSONL tracker and those the config asks for."""
    return [Jsonl(folder / "metrics.jsonl"), *(TRACKERS[type(spec)](folder) for spec in specs)]
