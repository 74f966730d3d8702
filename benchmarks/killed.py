"""One process that `crash.py` starts, watches and kills."""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link")
"""Names under which Python announces changes of the disk to its audit hooks, besides opening a file for writing."""


class Kill(NamedTuple):
    """When a process dies: after so many seconds, or before its so-many-th operation on the disk."""

    seconds: float = float("inf")
    operation: int = sys.maxsize


# From inside


def work(command: Sequence[str], out: Path, notes: Path, *, started: float, operation: int) -> None:
    """Run `tunery`, noting what it does, until it ends or comes to its fatal operation."""
    log = notes.open("a", buffering=1, encoding="utf-8")

    def note(what: str, **values: Any) -> None:
        log.write(json.dumps({"pid": os.getpid(), "what": what, **values}) + "\n")

    observe(note, out, started=started)
    count = count_operations(out, fatal=operation)
    from tunery.cli import main

    try:
        main([*command, "--out", str(out)])
    finally:
        note("end", operations=count[0])


def count_operations(out: Path, *, fatal: int) -> list[int]:
    """Count changes below the folder from now on, and die before the fatal one."""
    count, own = [0], os.getpid()

    def hook(event: str, given: tuple[Any, ...]) -> None:
        opened = event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR)
        if (opened or event in CHANGES) and str(given[0]).startswith(str(out)) and os.getpid() == own:
            count[0] += 1
            if count[0] == fatal:
                os.killpg(os.getpgid(0), signal.SIGKILL)

    sys.addaudithook(hook)
    return count


def observe(note: Callable[..., None], out: Path, *, started: float) -> None:
    """Have every resume point, every begin of training and the first step noted."""
    from tunery.store.resume import Point, ResumePoints
    from tunery.train.loop.callbacks import SaveResumePoints

    publish, step_end = ResumePoints.publish, SaveResumePoints.on_step_end
    stepped: list[int] = []

    def noted_publish(self: ResumePoints, point: Point) -> None:
        publish(self, point)
        parts = {name: stored.digest for name, stored in point.objects.items()}
        whole = json.dumps([parts, point.documents, [record.digest for record in point.kept]], sort_keys=True)
        run = str(self.root.parent.relative_to(out))
        note("point", run=run, step=point.step, digest=sha256(whole.encode()).hexdigest())

    def noted_begin(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
        note("begin", run=str(self._folder.path.relative_to(out)), step=state.global_step)

    def noted_step(self: Any, args: Any, state: Any, control: Any, **given: Any) -> None:
        if not stepped:
            stepped.append(state.global_step)
            note("step", seconds=time.time() - started)
        step_end(self, args, state, control, **given)

    def noted_end(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
        note("trained")

    changes: dict[str, Any] = {"on_train_begin": noted_begin, "on_step_end": noted_step, "on_train_end": noted_end}
    for name, change in changes.items():
        setattr(SaveResumePoints, name, change)
    ResumePoints.publish = noted_publish  # type: ignore[method-assign]


# From outside


@dataclass
class Place:
    """Where one command runs, and in which way."""

    command: list[str]
    fork: bool
    out: Path

    @property
    def notes(self) -> Path:
        """What its processes have noted."""
        return self.out.with_suffix(".notes")

    def noted(self) -> list[dict[str, Any]]:
        """All whole notes."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def run(self, kill: Kill) -> tuple[int, int]:
        """Start the command, and kill it when it is time. Returns its process id, and its exit code or -9."""
        started = time.time()
        pid = os.fork()
        if not pid:
            self._become(kill, started)
        with suppress(PermissionError):  # the child has become another program, after it did the same itself
            os.setpgid(pid, pid)
        while time.time() - started < kill.seconds:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return pid, os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        os.killpg(pid, signal.SIGKILL)
        return pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _become(self, kill: Kill, started: float) -> None:
        """The child's side: never returns."""
        os.setpgid(0, 0)
        log = os.open(self.out.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1), os.dup2(log, 2)
        if not self.fork:
            flags = [str(self.out), str(self.notes), repr(started), str(kill.operation)]
            os.execv(sys.executable, [sys.executable, __file__, *flags, *self.command])
        code = 1
        try:
            from tunery.train.artifacts.verify import read_from_a_fork

            read_from_a_fork()
            work(self.command, self.out, self.notes, started=started, operation=kill.operation)
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)


if __name__ == "__main__":
    out, notes, started, operation = sys.argv[1:5]
    work(sys.argv[5:], Path(out), Path(notes), started=float(started), operation=int(operation))
