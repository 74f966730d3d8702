"""Whatever the disk refuses, and whenever: the same call brings the run to the end that it would have had."""

import errno
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import pytest
from faults import ERRNOS, Crash, FaultyDisk, crash, faulty, lose_power, refuse
from tiny_runs import config, write_rows

from tunery.errors import TuneryError
from tunery.schema import RunConfig, RunResult
from tunery.schema.yaml_text import parse_yaml
from tunery.store.files import sha256
from tunery.tracking.jsonl import read_metrics
from tunery.train.fit import fit

Fate = Callable[[FaultyDisk], NoReturn]
FATES: dict[str, tuple[Fate, ...]] = {
    "errno": tuple(refuse(number) for number in ERRNOS),
    "crash": (crash,),
    "power": (lose_power,),
}


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> RunConfig:
    """Two epochs of two steps: everything a run does to the disk, once more than once."""
    files = write_rows(tmp_path_factory.mktemp("data"), rows=16)
    train = {"epochs": 2, "batch_size": 8, "log_every": 1}
    return config(str(tiny_bert), files, train=train, peft={"method": "lora"})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, short: RunConfig) -> FaultyDisk:
    """A run on a disk without faults, and what it did there."""
    disk = FaultyDisk(tmp_path_factory.mktemp("undisturbed") / "run")
    with faulty(disk):
        fit(short, out=disk.root)
    return disk


def places(log: list[str]) -> Iterator[int]:
    """Every operation; of writes to one file in a row the first alone: all leave a file that is not whole."""
    for number, (before, now) in enumerate(pairwise(["", *log])):
        if not (now.startswith("write ") and now == before):
            yield number


def what_is_left(folder: Path) -> dict[str, Any]:
    """Every name, every metric, and every byte of weights."""
    result = RunResult.model_validate_json((folder / "result.json").read_text())
    return {
        "names": sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
        "weights": {path.name: sha256(path) for path in folder.rglob("*.safetensors")},
        "metrics": read_metrics(folder / "metrics.jsonl"),
        "result": result.metrics,
        "kept": result.checkpoints,
        "config": parse_yaml((folder / "config.yaml").read_text(), source=""),
    }


def disturbed(short: RunConfig, disk: FaultyDisk) -> str | None:
    """Run until the fault; what is wrong with the way it ends."""
    try:
        with faulty(disk):
            fit(short, out=disk.root)
    except Crash:
        return None
    except OSError as error:
        return None if disk.root in str(error) else f"does not say where: {error!r}"
    except TuneryError as error:
        return None if disk.root in str(error) else f"does not say where: {error!r}"
    except Exception as error:
        return f"ends in {error!r}"
    return None


def torn(folder: Path) -> str | None:
    """Which record is not whole."""
    for name, read in {"config.yaml": lambda text: parse_yaml(text, source=""), "result.json": RunResult.model_validate_json}.items():
        if (folder / name).exists():
            try:
                read((folder / name).read_text())
            except Exception as error:
                return f"tears {name}: {error}"
    return None


@pytest.mark.parametrize("share", range(3))
@pytest.mark.parametrize("kind", FATES)
def test_the_run_ends_as_if_nothing_had_been(
    tmp_path: Path, short: RunConfig, undisturbed: FaultyDisk, kind: str, share: int
) -> None:
    expected, wrong = what_is_left(Path(undisturbed.root)), []
    for place in places(undisturbed.log):
        if place % 3 != share:
            continue
        fates = FATES[kind]
        disk = FaultyDisk(tmp_path / f"run{place}", at=place, fate=fates[place // 3 % len(fates)])
        folder = Path(disk.root)
        problem = disturbed(short, disk) or torn(folder)
        try:
            fit(short, out=folder)
            left = what_is_left(folder)
            problem = problem or next((f"{key}: {left[key]} not {expected[key]}" for key in expected if left[key] != expected[key]), None)
        except Exception as error:
            problem = f"{problem}; and is not taken up again: {error!r}"
        if problem:
            wrong.append(f"fault at {undisturbed.log[place]} ({place}) {problem}"[:1500])
    assert not wrong, "\n".join(wrong)
