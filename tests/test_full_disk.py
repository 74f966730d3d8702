"""A disk that is really full. `$TUNERY_FULL_DISK` names a small file system to fill, or a tmpfs is mounted."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faults import what_is_left
from tiny_runs import config, write_rows
from tunery.schema.yaml_text import dump_yaml
from tunery.tracking.jsonl import read_metrics

pytestmark = pytest.mark.service
LARGEST = 2**30


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of its own, small enough to be filled."""
    given = os.environ.get("TUNERY_FULL_DISK")
    folder = Path(given) if given else tmp_path_factory.mktemp("full") / "disk"
    folder.mkdir(exist_ok=True)
    mounted = given or subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if not isinstance(mounted, str) and mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here ({mounted.stderr.strip()}); set TUNERY_FULL_DISK to a small one")
    if shutil.disk_usage(folder).total > LARGEST:
        pytest.skip(f"the file system of {folder} has more than {LARGEST} bytes, which is too much to fill")
    yield folder
    if not given:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """The config of a short run."""
    folder = tmp_path_factory.mktemp("config")
    run = config(str(tiny_bert), write_rows(folder), peft={"method": "lora"}, checkpoint={"co_best": 1})
    path = folder / "config.yaml"
    path.write_text(dump_yaml(run.model_dump(mode="json")))
    return path


@pytest.fixture(scope="module")
def undisturbed(document: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is left of the run where there is room."""
    out = tmp_path_factory.mktemp("room") / "run"
    assert train(document, out).returncode == 0
    return what_is_left(out)


def train(document: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tunery", "train", str(document), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True)


def leave(disk: Path, room: int) -> Path:
    """Fill the disk until `room` bytes are free; the file that does it."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - room)
    return filler


@pytest.mark.parametrize("room", [0, 8, 40, 100, 200, 400])
def test_a_run_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    disk: Path, document: Path, undisturbed: dict[str, Any], room: int
) -> None:
    """Args:
    room: in KiB; it runs out at the lock, at a record, at an object, at the export.
    """
    out = disk / "run"
    filler = leave(disk, room * 1024)
    try:
        refused = train(document, out)
        print(
            room,
            refused.returncode,
            refused.stderr,
            sorted(str(p.relative_to(out)) for p in out.rglob("*")),
            shutil.disk_usage(disk),
        )
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr
        assert "the same command resumes" in refused.stderr.splitlines()[-1]
        assert "No space left on device" in refused.stderr or "has no room" in refused.stderr
        metrics = read_metrics(out / "metrics.jsonl")
        assert metrics == undisturbed["metrics"][: len(metrics)]
        filler.unlink()
        assert train(document, out).returncode == 0
        assert what_is_left(out) == undisturbed
    finally:
        filler.unlink(missing_ok=True)
        shutil.rmtree(out, ignore_errors=True)
