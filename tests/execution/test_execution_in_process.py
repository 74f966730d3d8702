"""A run in this process: what it reports after an epoch, how it is asked to leave, and what its end is called."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from tiny_runs import config, write_rows
from tunery.errors import DataError, DiskFull, Interrupted, ModelError, NonFiniteLoss
from tunery.execution.in_process import InThisProcess
from tunery.execution.outcomes import Pruned, outcome_of_error, outcome_of_exit
from tunery.execution.runner import Epoch, Job, Outcome, Prune, Stop
from tunery.schema import RunConfig
from tunery.store.disk.run_lock import own
from tunery.store.folder import RunFolder

Run = Callable[..., Outcome]


def on(_: Epoch) -> None:
    return None


def nothing() -> None:
    return None


@pytest.fixture
def short(tiny_bert: Path, tmp_path: Path) -> RunConfig:
    train = {"epochs": 3, "batch_size": 8, "early_stopping": None}
    return config(str(tiny_bert), write_rows(tmp_path), train=train, checkpoint={"min_free": 0})


@pytest.fixture
def run(short: RunConfig, tmp_path: Path) -> Run:
    def begin(*callbacks: TrainerCallback, prune: Prune = on, stop: Stop = nothing, alone: bool = True) -> Outcome:
        study = tmp_path / "study"
        job = Job(short, study / "trials" / "0", study, "trial 0", alone=alone)
        return InThisProcess(callbacks).run(job, prune=prune, stop=stop)

    return begin


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "study" / "trials" / "0")


class Raise(TrainerCallback):
    """Fails after the first epoch."""

    def __init__(self, error: Callable[[], Any]) -> None:
        self.error = error

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.error()


def raising(error: Exception) -> Raise:
    def act() -> None:
        raise error

    return Raise(act)


def test_the_judge_hears_of_every_epoch_once_with_what_it_has_cost(run: Run, folder: RunFolder) -> None:
    heard: list[Epoch] = []
    assert run(prune=heard.append) == Outcome("completed")
    result = folder.result()
    assert result is not None and max(epoch.value or 0 for epoch in heard) == result.objective.value
    assert [epoch.number for epoch in heard] == [1, 2, 3] == [epoch.progress.epochs for epoch in heard]
    seconds = [epoch.progress.seconds.total for epoch in heard]
    assert 0 < seconds[0] < seconds[1] < seconds[2] < result.seconds.total
    assert heard[0].progress.parameters.trainable > 0 and heard[0].progress.memory.host_peak_bytes > 0


def test_a_finished_run_is_not_trained_again(run: Run) -> None:
    run()
    assert run(prune=lambda _: pytest.fail("trained again")) == Outcome("completed")


def test_what_the_judge_gives_up_ends_there(run: Run, folder: RunFolder) -> None:
    heard: list[int] = []

    def prune(epoch: Epoch) -> str | None:
        heard.append(epoch.number)
        return "worse than others" if epoch.number == 2 else None

    assert run(prune=prune) == Outcome("pruned", "worse than others")
    assert heard == [1, 2] and folder.result() is None and folder.progress().epochs == 2


def test_an_error_of_the_judge_is_no_outcome(run: Run) -> None:
    def prune(_: Epoch) -> None:
        raise OSError(errno.EIO, "the database is gone")

    with pytest.raises(OSError, match="the database is gone"):
        run(prune=prune)


def test_asked_to_leave_it_saves_and_goes_on_later(run: Run, folder: RunFolder) -> None:
    asked: list[int] = []

    def stop() -> str | None:
        asked.append(1)
        return "the study" if len(asked) > 10 else None

    left = run(stop=stop)
    assert left.status == "interrupted" and "the study came at step 11" in (left.reason or "")
    assert [path.name for path in (folder.path / "resume").iterdir()] == ["step-11.json"]
    assert run() == Outcome("completed")


def test_a_run_waits_for_a_process_that_is_still_leaving_its_folder(run: Run, folder: RunFolder) -> None:
    own(folder.path)
    code = "import sys, time; from pathlib import Path; from tunery.store.disk.lock import held\n"
    code += "with held(Path(sys.argv[1])): print(flush=True); time.sleep(1.5)"
    with subprocess.Popen([sys.executable, "-c", code, str(folder.path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        assert run().status == "completed"


def test_a_signal_is_an_interruption_too(run: Run) -> None:
    left = run(Raise(lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert left.status == "interrupted" and "SIGTERM came at step 9" in (left.reason or "")


@pytest.mark.parametrize(
    ("error", "status", "keeps"),
    [(ZeroDivisionError("by zero"), "failed", False), (OSError(errno.EIO, "broken"), "stopped", True)],
)
def test_a_run_that_is_no_trial_goes_on_unless_it_failed_by_itself(
    short: RunConfig, tmp_path: Path, error: Exception, status: str, keeps: bool
) -> None:
    job, folder = Job(short, tmp_path / "cell", None, "cell"), RunFolder(tmp_path / "cell")
    raises = Raise(lambda: None)
    raises.error = lambda: raising(error).error() if folder.resume.points() else None  # in the second epoch
    assert InThisProcess([raises]).run(job, prune=on, stop=nothing).status == status
    assert bool(folder.resume.points()) == bool(list(folder.path.rglob("*.safetensors"))) == keeps
    assert InThisProcess().run(job, prune=on, stop=nothing) == Outcome("completed")
    assert (folder.path / "best").is_dir() and (folder.path / "report.html").exists()


def test_memory_that_runs_out_in_torch_is_recognised(run: Run) -> None:
    out = run(Raise(lambda: torch.empty(1 << 50)))
    assert out.status == "out_of_memory" and (out.reason or "").startswith("RuntimeError")


def test_what_is_not_ours_is_printed_with_its_traceback(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(ZeroDivisionError("by zero"))) == Outcome("failed", "ZeroDivisionError: by zero")
    assert "Traceback" in capsys.readouterr().err


def test_lines_of_a_trial_bear_its_name(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    run(alone=False)
    lines = capfd.readouterr().err.splitlines()
    assert sum("trial 0: epoch" in line for line in lines) == 3


def wrapped(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Pruned("too slow"), Outcome("pruned", "too slow")),
        (Interrupted("SIGINT came"), Outcome("interrupted", "SIGINT came")),
        (DataError("no rows"), Outcome("refused", "no rows")),
        (DiskFull("no room"), Outcome("stopped", "no room")),
        (OSError(errno.EIO, "broken"), Outcome("stopped", "[Errno 5] broken")),
        (OSError(errno.ENOMEM, "none"), Outcome("out_of_memory", "OSError: [Errno 12] none")),
        (MemoryError("crash"), Outcome("out_of_memory", "MemoryError: crash")),
        (torch.OutOfMemoryError("none left"), Outcome("out_of_memory", "OutOfMemoryError: none left")),
        (
            RuntimeError("CUDA error: out of memory"),
            Outcome("out_of_memory", "RuntimeError: CUDA error: out of memory"),
        ),
        (wrapped(ModelError("not loaded"), MemoryError()), Outcome("out_of_memory", "ModelError: not loaded")),
        (NonFiniteLoss("nan"), Outcome("pruned", "nan")),
        (RuntimeError("shapes"), Outcome("failed", "RuntimeError: shapes")),
    ],
)
def test_what_an_error_means(error: Exception, outcome: Outcome) -> None:
    assert outcome_of_error(error) == outcome


def test_what_an_exit_code_means() -> None:
    assert outcome_of_exit(-signal.SIGTERM) == Outcome("interrupted", "SIGTERM")
    assert outcome_of_exit(-signal.SIGSEGV) == Outcome("failed", "the process was killed by SIGSEGV")
    killed = "the process was killed by SIGKILL; the system does that when memory runs out"
    assert outcome_of_exit(-signal.SIGKILL) == Outcome("out_of_memory", killed)
    assert outcome_of_exit(3) == Outcome("failed", "the process ended with exit code 3 and no answer")
