"""Runs in interpreters of their own."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tiny_runs import config, write_rows
from tunery.execution.own_interpreter import OwnInterpreters
from tunery.execution.runner import Epoch, Job, Outcome
from tunery.store.folder import RunFolder


@pytest.fixture
def job(tiny_bert: Path, tmp_path: Path) -> Job:
    train = {"epochs": 2, "batch_size": 8, "early_stopping": None}
    given = config(str(tiny_bert), write_rows(tmp_path), train=train, checkpoint={"min_free": 0})
    return Job(given, tmp_path / "run", None, "a run")


def pid_of(job: Job) -> int:
    return int(json.loads((job.folder / ".lock").read_text())["pid"])


def test_what_kills_the_interpreter_is_told_and_the_run_goes_on_in_another(job: Job) -> None:
    numbers: list[int] = []
    job = replace(job, device="7")

    def prune(epoch: Epoch) -> None:
        numbers.append(epoch.number)
        environment = Path(f"/proc/{pid_of(job)}/environ")
        assert not environment.exists() or b"CUDA_VISIBLE_DEVICES=7\0" in environment.read_bytes()
        if numbers == [1, 2]:
            os.kill(pid_of(job), signal.SIGSEGV)

    outcome = OwnInterpreters().run(job, prune=prune, stop=lambda: None)
    assert outcome == Outcome("failed", "the process was killed by SIGSEGV")
    assert OwnInterpreters().run(job, prune=prune, stop=lambda: None) == Outcome("completed")
    assert numbers == [1, 2, 2]
    result = RunFolder(job.folder).result()
    assert result is not None and result.metrics.test is not None and (job.folder / "report.html").exists()


def test_a_judge_that_raises_leaves_no_process(job: Job) -> None:
    pids: list[int] = []

    def prune(_: Epoch) -> None:
        pids.append(pid_of(job))
        raise KeyError("a second signal")

    with pytest.raises(KeyError, match="a second signal"):
        OwnInterpreters().run(job, prune=prune, stop=lambda: None)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
