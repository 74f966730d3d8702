"""A disk that is really full: a tmpfs is mounted, or `$TUNERY_FULL_DISK` names a small file system to fill."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from faults import what_is_left
from tiny_runs import StopAt, config, write_rows
from tunery.cli.exits import guarded
from tunery.schema import RunConfig
from tunery.schema.reading.yaml_text import dump_yaml
from tunery.store.disk.lock import holder
from tunery.tracking.jsonl import read_metrics
from tunery.train.fit import fit

pytestmark = pytest.mark.service
LARGEST = 2**30
KIB = 1024
ROOMS = range(0, 300, 24)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of its own, small enough to be filled."""
    if given := os.environ.get("TUNERY_FULL_DISK"):
        if shutil.disk_usage(given).total > LARGEST:
            pytest.skip(f"the file system of {given} has more than {LARGEST} bytes, which is too much to fill")
        yield Path(given)
        return
    folder = tmp_path_factory.mktemp("full")
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"nothing may be mounted here ({mounted.stderr.strip()}); set TUNERY_FULL_DISK")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> RunConfig:
    """Two epochs of two steps."""
    files = write_rows(tmp_path_factory.mktemp("data"), rows=16)
    train = {"epochs": 2, "batch_size": 8, "log_every": 1}
    kept = {"co_best": 1, "min_free": 0}
    return config(str(tiny_bert), files, train=train, peft={"method": "lora"}, checkpoint=kept)


@pytest.fixture(scope="module")
def undisturbed(run: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is left of the run where there is room."""
    out = tmp_path_factory.mktemp("room") / "run"
    fit(run, out=out)
    return what_is_left(out)


@pytest.fixture
def out(disk: Path) -> Iterator[Path]:
    """The run's folder; the disk is empty afterwards."""
    yield disk / "run"
    shutil.rmtree(disk / "run", ignore_errors=True)
    (disk / "filler").unlink(missing_ok=True)


def leave(disk: Path, room: int) -> None:
    """Fill the disk until `room` bytes are free."""
    with (disk / "filler").open("wb") as file:
        if (taken := shutil.disk_usage(disk).free - room) > 0:
            os.posix_fallocate(file.fileno(), 0, taken)


class Fill(TrainerCallback):
    """Somebody else fills the disk when training begins."""

    def __init__(self, disk: Path, room: int) -> None:
        self._fill = partial(leave, disk, room)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 0:
            self._fill()


@pytest.mark.parametrize("room", ROOMS)
def test_a_disk_that_fills_up_stops_a_run_that_goes_on_when_there_is_room(
    disk: Path, out: Path, run: RunConfig, undisturbed: dict[str, Any], room: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """`room` is in KiB: it ends at a metric, at weights, at a resume point, at the export, or not at all."""
    code = guarded(lambda: fit(run, [Fill(disk, room * KIB)], out=out) and None, as_json=False)
    errors = capfd.readouterr().err
    assert code == {ROOMS[0]: 1, ROOMS[-1]: 0}.get(room, code), errors
    assert code in (0, 1)
    if code:
        assert "Traceback" not in errors
        assert "No space left on device" in errors or "has no room" in errors
        assert "the same command resumes" in errors.splitlines()[-1]
    metrics = read_metrics(out / "metrics.jsonl")
    assert metrics == undisturbed["metrics"][: len(metrics)]
    assert holder(out) is None
    (disk / "filler").unlink()
    fit(run, out=out)
    assert what_is_left(out) == undisturbed


def test_a_disk_that_fills_up_in_a_stage_of_pretraining_stops_it_and_it_goes_on_when_there_is_room(
    disk: Path, out: Path, run: RunConfig, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    staged = {**run.model_dump(mode="json"), "pretrain": {"tapt": {"epochs": 2}, "batch_size": 8, "lr": 1e-2}}
    config = RunConfig.model_validate(staged)
    fit(config, out=tmp_path / "run")
    undisturbed, codes = what_is_left(tmp_path / "run"), list[int]()
    for room in (0, 24, 48, 96, 192, 4 * KIB):

        def fill(text: str, room: int = room) -> None:
            if text.startswith("tapt: ") and text.endswith(" texts"):  # the stage begins
                leave(disk, room * KIB)

        codes.append(guarded(lambda: fit(config, out=out, say=fill) and None, as_json=False))
        errors = capfd.readouterr().err
        if codes[-1]:
            assert "Traceback" not in errors and "the same command resumes" in errors.splitlines()[-1]
        assert holder(out) is None and all(holder(stage) is None for stage in (out / "pretrain").iterdir())
        (disk / "filler").unlink()
        fit(config, out=out)
        assert what_is_left(out) == undisturbed
        shutil.rmtree(out)
    assert codes[0] == 1 and codes[-1] == 0 and set(codes) == {0, 1}


def train(run: RunConfig, folder: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """The command line, in a process of its own."""
    document = folder / "config.yaml"
    document.write_text(dump_yaml(run.model_dump(mode="json")))
    command = [sys.executable, "-m", "tunery", "train", str(document), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_says_what_to_do_and_does_it_when_called_again(
    disk: Path, out: Path, run: RunConfig, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(MemoryError):
        fit(run, [StopAt(3, "crash")], out=out)
    metrics = read_metrics(out / "metrics.jsonl")
    leave(disk, 0)
    refused = train(run, tmp_path, out)
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
    assert refused.stderr.splitlines()[-1].endswith("the same command resumes")
    kept = read_metrics(out / "metrics.jsonl")
    assert kept == metrics[: len(kept)] and kept[-1]["step"] >= 2
    (disk / "filler").unlink()
    assert train(run, tmp_path, out).returncode == 0
    for written_by_the_command in ("baselines.json", "report.html", "worst_rows.json", "best/README.md"):
        (out / written_by_the_command).unlink()
    assert what_is_left(out) == undisturbed
