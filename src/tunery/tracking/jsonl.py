"""`metrics.jsonl`: one line per (step, name), exactly once across interruptions."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from tunery.tracking.tracker import Tracker


@final
class Jsonl(Tracker):
    """Appends lines and has them on disk before it returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, step: int) -> None:
        """Drop the lines beyond `step`, a half-written last one included."""
        kept = [line for line in read_metrics(self.path) if line["step"] <= step]
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text("".join(_line(line) for line in kept), encoding="utf-8")
        temporary.replace(self.path)

    def log(self, step: int, epoch: float, values: Mapping[str, float | None]) -> None:
        """Append one line per value."""
        lines = ({"step": step, "epoch": epoch, "name": name, "value": value} for name, value in values.items())
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(_line(line) for line in lines))
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> None:
        """Nothing is left to do."""


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, allow_nan=False) + "\n"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a `metrics.jsonl`; an empty list where there is none."""
    if not path.exists():
        return []
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]
