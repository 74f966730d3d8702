"""Whatever the disk refuses, and whenever the process dies: the same call ends as it would have ended."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from fast_and_slow import slow_but
from faults import ERRNOS, FaultyDisk, faulty, sha256, what_is_left
from tiny_runs import config, write_rows
from tunery.errors import TuneryError
from tunery.schema import RunConfig, RunResult
from tunery.schema.reading.yaml_text import parse_yaml
from tunery.store.disk.ownership import is_temporary
from tunery.train.fit import fit

TIMES = ("seconds", "memory")


@dataclass
class Short:
    """A short run, what is left of it undisturbed, and the states of its folder from which it is known to end so."""

    config: RunConfig
    folder: Path
    log: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def problem(self, folder: Path) -> str | None:
        """What goes wrong when the run in `folder` is taken up again; None for nothing."""
        if torn := _torn(folder):
            return torn
        state = _state(folder)
        if state <= self.known:
            return None
        try:
            fit(self.config, out=folder)
        except Exception as error:
            return f"is not taken up again: {error!r}"
        left, expected = what_is_left(folder), what_is_left(self.folder)
        wrong = next((f"{key}: {left[key]}, not {expected[key]}" for key in left if left[key] != expected[key]), None)
        self.known |= state if wrong is None else set()
        return wrong


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Short:
    """Two epochs of one step: what a run does to the disk, all of it more than once."""
    files = write_rows(tmp_path_factory.mktemp("data"), rows=16)
    train = {"epochs": 2, "batch_size": 16, "log_every": 1}
    model = {"name": str(tiny_bert), "max_length": 32, "precision": "fp32", "head": {"kind": "auto", "init": "probe"}}
    run = config(str(tiny_bert), files, model=model, train=train, peft={"method": "lora"}, checkpoint={"co_best": 1})
    disk = FaultyDisk(tmp_path_factory.mktemp("undisturbed") / "run")
    with faulty(disk):
        fit(run, out=disk.root)
    return Short(run, disk.root, disk.log)


def _torn(folder: Path) -> str | None:
    whole: dict[str, Callable[[str], object]] = {
        "config.yaml": lambda text: parse_yaml(text, source=""),
        "result.json": RunResult.model_validate_json,
        "progress.json": json.loads,
        "checkpoints.json": json.loads,
    }
    for path in (folder / name for name in whole if (folder / name).exists()):
        try:
            whole[path.name](path.read_text())
        except ValueError as error:
            return f"tears {path.name}: {error}"
    return None


def _state(folder: Path) -> set[str]:
    """What a run is taken up from: one digest of all that counts, and one for every place with a temporary."""
    counts = hashlib.sha256()
    state = set()
    for path in sorted(folder.rglob("*")):
        name = re.sub(r"[0-9a-f]{16}\.tunery-tmp", "tmp", str(path.relative_to(folder)))
        if any(is_temporary(part) for part in (path, *path.parents)):
            state.add(re.sub("[0-9a-f]{32,}", "object", name))
        elif path.name == "progress.json":
            known = json.loads(path.read_text())
            counts.update(json.dumps({key: known[key] for key in known if key not in TIMES}).encode())
        elif path.is_dir() or path.name not in (".lock", "events.jsonl"):
            counts.update(f"{name}: {'' if path.is_dir() else sha256(path)}\n".encode())
    return {*state, counts.hexdigest()}


def places(log: list[str]) -> Iterator[int]:
    """Every operation; of writes to one file in a row the first alone: all leave a file that is not whole."""
    for number, (before, now) in enumerate(pairwise(["", *log])):
        if not (now.startswith("write ") and now == before):
            yield number


@pytest.mark.parametrize("power", slow_but([False, True], True), ids=["killed", "power lost"])
def test_a_run_that_dies_at_any_operation_ends_as_if_it_had_not(tmp_path: Path, short: Short, power: bool) -> None:
    def copy(disk: FaultyDisk) -> None:
        disk.crashed(tmp_path / str(len(disk.log) - 1), power=power)

    with faulty(FaultyDisk(tmp_path / "run", before=copy)) as disk:
        fit(short.config, out=disk.root)
    found = {place: short.problem(tmp_path / str(place)) for place in range(len(disk.log))}
    assert len(found) == len(short.log)
    _report({f"{disk.log[place]} ({place})": problem for place, problem in found.items()})


SHARES = 12
"""One test refuses one operation of so many."""


@pytest.mark.parametrize("share", slow_but(range(SHARES), 0))
def test_a_run_refused_by_the_disk_says_where_and_goes_on(tmp_path: Path, short: Short, share: int) -> None:
    found = {}
    for turn, place in enumerate(places(short.log)):
        if turn % SHARES == share:
            disk = FaultyDisk(tmp_path / "run", refuse=place, error=ERRNOS[turn // SHARES % len(ERRNOS)])
            found[f"{short.log[place]} ({place})"] = _unclear(short.config, disk) or short.problem(disk.root)
            shutil.rmtree(disk.root, ignore_errors=True)
            shutil.rmtree(tmp_path / "run-backups", ignore_errors=True)
    _report(found)


def _unclear(run: RunConfig, disk: FaultyDisk) -> str | None:
    """What is unclear about the way in which a run ends."""
    try:
        with faulty(disk):
            fit(run, out=disk.root)
    except (OSError, TuneryError) as error:
        return None if str(disk.root) in str(error) else f"does not say where: {error!r}"
    except Exception as error:
        return f"ends in {error!r}"
    return None


def _report(found: dict[str, str | None]) -> None:
    wrong = [f"{place} {problem}"[:600] for place, problem in found.items() if problem]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(found)} places:", *wrong])
