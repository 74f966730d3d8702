"""The disk that a run will take: never less than it takes, and refused before anything is written."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import config, write_rows

from tunery.errors import FolderError
from tunery.schema.checkpoint import Checkpoint
from tunery.store.files import size
from tunery.store.folder import RunFolder
from tunery.store.study import StudyStore
from tunery.train.assemble import assemble
from tunery.train.estimate import Sizes, estimate, require_room, sizes_of
from tunery.train.fit import fit
from tunery.train.prepare import prepare

STATE = ("objects", "resume", "staging", "best")


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"optim": {"name": "sgd"}, "checkpoint": {"keep_last": 0, "co_best": 1}},
        {"optim": {"name": "adafactor", "lr": 3e-3}, "checkpoint": {"keep_last": 2, "every": 3}},
        {"peft": {"method": "lora"}},
        {"peft": {"method": "adalora"}, "checkpoint": {"co_best": 3}},
        {"peft": {"method": "prefix"}, "freeze": {"policy": "none"}},
    ],
    ids=["full", "sgd", "adafactor", "lora", "adalora", "prefix"],
)
def test_no_run_takes_more_than_was_estimated(
    sections: dict[str, Any], tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_rows(tmp_path)
    wanted = config(str(tiny_bert), files, **{"train": {"epochs": 3, "batch_size": 8}, **sections})
    run = assemble(wanted, prepare(wanted))
    expected = estimate(sizes_of(run), wanted.checkpoint).peak
    out, peak = tmp_path / "run", [0]
    rename = Path.replace

    def watched(self: Path, target: Path) -> Path:
        peak[0] = max(peak[0], sum(size(path) for path in out.glob("*") if path.name.strip(".").split(".")[0] in STATE))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", watched)  # the last moment of every write: what it replaces is still there
    fit(wanted, out=out)
    assert peak[0] <= expected < 4 * peak[0] + 2**20
