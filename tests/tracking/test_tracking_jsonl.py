"""Every metric exactly once, whatever was interrupted."""

import errno
import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fast_and_slow import examples
from tunery.errors import Damaged
from tunery.tracking.jsonl import Jsonl, read_metrics


@examples(0.2)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=6))
def test_kills_neither_lose_nor_double_a_line(tmp_path_factory, crashes: list[int]) -> None:  # type: ignore[no-untyped-def]
    """Each crash happens after `crash` further steps; the run goes on from the last multiple of three."""
    path: Path = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    step, saved = 0, 0
    for crash in [*crashes, 12]:
        step = saved
        tracker = Jsonl(path)
        tracker.start(step)
        for _ in range(crash):
            step += 1
            tracker.log(step, step / 3, {"loss": 1 / step, "lr": 0.1})
            saved = step - step % 3
        with path.open("a") as file:
            file.write('{"step": 99, "na')
    Jsonl(path).start(step)
    lines = read_metrics(path)
    assert [(line["step"], line["name"]) for line in lines] == [
        (n, m) for n in range(1, step + 1) for m in ("loss", "lr")
    ]
    assert path.read_text().endswith("\n")


def test_an_undefined_value_is_null(tmp_path: Path) -> None:
    tracker = Jsonl(tmp_path / "metrics.jsonl")
    tracker.start(0)
    tracker.log(1, 0.5, {"roc_auc": None})
    assert json.loads(tracker.path.read_text()) == {"step": 1, "epoch": 0.5, "name": "roc_auc", "value": None}


class FullDisk(io.FileIO):
    """Takes `room` bytes, then nothing."""

    room = 0

    def write(self, data: bytes) -> int:  # type: ignore[override]
        taken = super().write(data[: self.room])
        FullDisk.room -= taken
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return taken


LINES = 2 * len('{"step": 1, "epoch": 0.5, "name": "loss", "value": 0.0}\n')


@pytest.mark.parametrize("room", [*range(0, LINES, 7), LINES])
def test_what_a_full_disk_took_in_part_is_neither_kept_nor_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    path = tmp_path / "metrics.jsonl"
    tracker = Jsonl(path)
    tracker.start(0)
    tracker.log(1, 0.5, {"loss": 1.0, "more": 2.0})
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(FullDisk, "room", room)
        patch.setattr(Path, "open", lambda self, mode, buffering: FullDisk(self, mode.removesuffix("b")))
        if room == LINES:
            patch.setattr(os, "fsync", broken)
        with pytest.raises(OSError, match=r"metrics.jsonl"):
            tracker.log(2, 1.0, {"loss": 3.0, "more": 4.0})
    if room % 2:  # by another process
        tracker = Jsonl(path)
        tracker.start(1)
        assert path.read_bytes() == before
    tracker.log(2, 1.0, {"loss": 3.0, "more": 4.0})
    assert [line["value"] for line in read_metrics(path)] == [1.0, 2.0, 3.0, 4.0]
    assert path.read_bytes().startswith(before)


def broken(descriptor: int) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_nothing_is_written_where_nothing_has_to_go(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tracker = Jsonl(path)
    tracker.start(0)
    tracker.log(1, 0.5, {"loss": 1.0})
    before = path.stat()
    Jsonl(path).start(1)
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    one, two = (b'{"step": %d, "epoch": 1, "name": "loss", "value": 0.5}\n' % step for step in (1, 2))
    path.write_bytes(one + b"\0\0\n" + two)
    with pytest.raises(Damaged, match=r"line 2 of '.*metrics.jsonl' is damaged; remove it to go on without it"):
        read_metrics(path)
    with pytest.raises(Damaged):
        Jsonl(path).start(2)
    assert path.read_bytes().endswith(two)
