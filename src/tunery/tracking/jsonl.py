"""`metrics.jsonl`: one line per (step, name), exactly once across interruptions."""

import json
import os
from collections.abc import Iterable, Mapping
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
        temporary.unlink(missing_ok=True)
        _append(temporary, kept)
        temporary.replace(self.path)

    def log(self, step: int, epoch: float, values: Mapping[str, float | None]) -> None:
        """Append one line per value."""
        lines = ({"step": step, "epoch": epoch, "name": name, "value": value} for name, value in values.items())
        _append(self.path, lines)

    def finish(self) -> None:
        """Nothing is left to do."""


def _append(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(record, allow_nan=False) + "\n" for record in records))
        file.flush()
        os.fsync(file.fileno())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a `metrics.jsonl`; an empty list where there is none."""
    if not path.exists():
        return []
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]
