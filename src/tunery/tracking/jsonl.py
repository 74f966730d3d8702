"""`metrics.jsonl`: one line per (step, name), exactly once across interruptions.

Lines come in the order of their steps, so whatever has to be removed is at the end: the file is truncated, and never
written anew. That needs no room on a full disk, and a crash leaves the file as it was before or after.
"""

import json
import os
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Final, final

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # Python 3.11's own does not do for pydantic

from tunery.errors import Damaged
from tunery.tracking.tracker import Tracker


class Line(TypedDict):
    """One value of one metric."""

    step: Annotated[int, Field(ge=0, lt=2**63)]
    epoch: float
    name: str
    value: float | None


_LINE: Final = TypeAdapter(Line)


@final
class Jsonl(Tracker):
    """Appends lines and has them on disk before it returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._end = 0  # bytes behind it are of an append that failed

    def start(self, step: int) -> None:
        """Drop the lines beyond `step`, a half-written last one included."""
        kept = takewhile(lambda line: line[1]["step"] <= step, _lines(self.path))
        self._end = sum(len(line) for line, _ in kept)
        self._append(b"")  # its name is on disk once a resume point is: until then the run starts over

    def log(self, step: int, epoch: float, values: Mapping[str, float | None]) -> None:
        """Append one line per value.

        Raises:
            OSError: when the disk refuses; then none of them counts.
        """
        lines = ({"step": step, "epoch": epoch, "name": name, "value": value} for name, value in values.items())
        self._append("".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode())

    def finish(self) -> None:
        """Nothing is left to do."""

    def _append(self, lines: bytes) -> None:
        """Write behind the last whole line, in place of what is there, and wait until it is on disk."""
        try:
            with self.path.open("ab", buffering=0) as file:
                if file.tell() > self._end:
                    file.truncate(self._end)
                unwritten = lines
                while unwritten:
                    unwritten = unwritten[file.write(unwritten) :]
                os.fsync(file.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        self._end += len(lines)


def read_metrics(path: Path, name: str | None = None) -> list[Line]:
    """All whole lines of a `metrics.jsonl`, or those of one metric; an empty list where there is none.

    Raises:
        Damaged: when a line is not what was written.
    """
    return [record for _, record in _lines(path, b"" if name is None else json.dumps(name).encode())]


def _lines(path: Path, text: bytes = b"") -> Iterator[tuple[bytes, Line]]:
    """Every whole line that has a text in it, as bytes and parsed."""
    try:
        content = path.read_bytes() if path.exists() else b""
    except IsADirectoryError as error:
        raise Damaged(f"{str(path)!r} is a folder and no file of metrics; remove it to go on without it") from error
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(keepends=True), start=1):
        if text not in line:
            continue
        try:
            yield line, _LINE.validate_json(line)
        except ValidationError as error:
            raise Damaged(f"line {number} of {str(path)!r} is damaged; remove it to go on without it") from error
