"""The cells of a comparison: one method, one seed, one process each."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol, final

from tunery.execution.outcomes import outcome_of_exit
from tunery.execution.runner import Outcome as Outcome
from tunery.schema import RunConfig
from tunery.schema.config.peft import method_name
from tunery.schema.results.run import DataRecord
from tunery.store.folder import RunFolder
from tunery.train.signals import on_signals


@dataclass(frozen=True)
class CellJob:
    """One cell that is to be trained."""

    method: str
    config: RunConfig
    """The complete config, seed included."""
    path: Path
    trust_remote_code: bool = False
    """Whether the call that compares permits code that comes with the model."""
    data: DataRecord | None = None
    """The rows that every cell must see."""

    @property
    def title(self) -> str:
        """What progress calls it."""
        return f"{method_name(self.method)} seed {self.config.seed}"

    @property
    def folder(self) -> RunFolder:
        """Its records."""
        return RunFolder(self.path)


@final
class CellStop:
    """Whether a signal asked to stop; the signal is passed on, once each time it comes, to the process at work."""

    def __init__(self) -> None:
        self.by: str | None = None
        self._child: subprocess.Popen[str] | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note SIGINT and SIGTERM while the block runs."""
        with on_signals(self._note):
            yield

    @contextmanager
    def reaching(self, child: subprocess.Popen[str]) -> Iterator[None]:
        """Pass signals on to `child` while the block runs, one that has already come included."""
        self._child = child
        try:
            if self.by is not None:
                child.terminate()
            yield
        finally:
            self._child = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.by = signal.Signals(number).name
        if self._child is not None:
            self._child.terminate()


class CellRunner(Protocol):
    """Trains one cell in its folder, so that `result.json` is there when the outcome is `completed`."""

    def __call__(self, job: CellJob, *, stop: CellStop) -> Outcome: ...


def run_in_process(job: CellJob, *, stop: CellStop) -> Outcome:
    """Train one cell in a process of its own, so that its peak memory is its own.

    The process leads a session: a Ctrl-C reaches it once, through `stop`. It watches its standard input, which closes
    when this process dies, however that happens.
    """
    command = [sys.executable, "-P", "-m", "tunery.execution.cell_process"]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
    with child, stop.reaching(child):
        answer = _ask(child, job)
        code = child.wait()
    return outcome_of(answer, code)


def _ask(child: subprocess.Popen[str], job: CellJob) -> str:
    request = {
        "config": job.config.model_dump(mode="json"),
        "data": job.data and job.data.model_dump(mode="json"),
        "folder": str(job.path),
        "title": job.title,
        "trust_remote_code": job.trust_remote_code,
    }
    if child.stdin is None or child.stdout is None:
        raise RuntimeError("a cell needs both pipes")
    with suppress(BrokenPipeError):  # it died at once: its exit code says how
        child.stdin.write(f"{json.dumps(request)}\n")
        child.stdin.flush()
    return child.stdout.read()


def outcome_of(answer: str, code: int) -> Outcome:
    """What a process' answer, or its exit code where it gave none, says."""
    if answer:
        return Outcome(**json.loads(answer))
    ending = outcome_of_exit(code)
    return Outcome("failed", ending.reason) if ending.status == "out_of_memory" else ending  # nothing is made smaller
