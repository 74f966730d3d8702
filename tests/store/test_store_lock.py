"""One process at a time, and never a dead one."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tunery.errors import FolderError
from tunery.store.disk.lock import Holder, alone, held, holder

HOLD = """
import sys, time
from pathlib import Path
from tunery.store.disk.lock import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
WITH_WORKERS = """
import multiprocessing, sys, time
from pathlib import Path
from tunery.store.disk.lock import held

def work(ready):
    ready.set()
    time.sleep(60)

with held(Path(sys.argv[1])):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    worker = context.Process(target=work, args=(ready,))
    worker.start()
    ready.wait()
    print(worker.pid, flush=True)
    time.sleep(60)
"""

WITH_LEAVING_CHILD = """
import os, sys, time
from pathlib import Path
from tunery.store.disk.lock import held
with held(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        sys.exit()
    print(os.waitpid(child, 0)[1], flush=True)
    time.sleep(60)
"""


@contextmanager
def process(script: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process, and the first line that it prints."""
    with subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield child, child.stdout.readline().strip()
        finally:
            child.kill()


@pytest.fixture(params=["locks", "no locks"])
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system with locks, and one where the file alone has to do."""
    if request.param == "no locks":
        monkeypatch.setattr(fcntl, "flock", no_locks)
    return str(request.param)


def no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_the_second_process_is_told_who_and_since_when(tmp_path: Path, file_system: str) -> None:
    with process(HOLD, tmp_path) as (child, _):
        found = holder(tmp_path)
        assert found is not None and (found.pid, found.host) == (child.pid, socket.gethostname())
        rule = rf"in use by process {child.pid} on {found.host} since 20\d\d-.*; wait for it, or choose another --out$"
        with pytest.raises(FolderError, match=rule), held(tmp_path):
            pass
        assert holder(tmp_path) == found, "being refused must not change what the file says"


def test_a_killed_process_holds_nothing(tmp_path: Path, file_system: str) -> None:
    with process(HOLD, tmp_path) as (child, _):
        child.kill()
        child.wait()
        assert holder(tmp_path) is None
        with held(tmp_path):
            found = holder(tmp_path)
            assert found is not None and found.pid == os.getpid()


def test_a_dead_process_that_nobody_has_buried_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", no_locks)
    with process(HOLD, tmp_path) as (child, _):
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie until the block ends
        assert holder(tmp_path) is None


def test_without_proc_the_number_alone_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", no_locks)
    with process("print('gone')", tmp_path) as (child, _):
        child.wait()
    proc = tmp_path / "none"
    left_behind(tmp_path, pid=child.pid, started=None)
    assert holder(tmp_path, proc=proc) is None
    left_behind(tmp_path, pid=os.getpid(), started=None)
    assert holder(tmp_path, proc=proc) is not None


def test_workers_that_outlive_their_parent_hold_nothing(tmp_path: Path) -> None:
    with process(WITH_WORKERS, tmp_path) as (child, worker):
        assert holder(tmp_path) is not None
        child.kill()
        child.wait()
        try:
            os.kill(int(worker), 0)  # it lives
            with held(tmp_path):
                pass
        finally:
            os.kill(int(worker), signal.SIGKILL)


def test_a_forked_child_that_leaves_the_block_gives_nothing_away(tmp_path: Path) -> None:
    with process(WITH_LEAVING_CHILD, tmp_path) as (child, left):
        found = holder(tmp_path)
        assert left == "0" and found is not None and found.pid == child.pid


def test_one_process_does_not_hold_a_folder_twice(tmp_path: Path, file_system: str) -> None:
    with held(tmp_path):
        (tmp_path / ".lock").read_text()  # opening and closing the file loses nothing
        assert holder(tmp_path) is not None
        with pytest.raises(FolderError, match=f"in use by process {os.getpid()} on"), held(tmp_path):
            pass
        assert holder(tmp_path) is not None
    assert holder(tmp_path) is None


def left_behind(folder: Path, **changes: object) -> None:
    with held(folder):
        said = json.loads((folder / ".lock").read_text())
    (folder / ".lock").write_text(json.dumps({**said, **changes}))


def test_a_recycled_process_number_is_not_the_holder(tmp_path: Path, file_system: str) -> None:
    left_behind(tmp_path, started=1)
    with held(tmp_path):
        pass


def test_without_locks_another_machine_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", no_locks)
    left_behind(tmp_path, host="elsewhere", pid=1)
    rule = r"in use by process 1 on elsewhere .*; if that process is gone for certain, remove '.*\.lock'"
    with pytest.raises(FolderError, match=rule), held(tmp_path):
        pass
    (tmp_path / ".lock").unlink()
    with held(tmp_path):
        pass


def test_with_locks_another_machine_is_asked(tmp_path: Path) -> None:
    left_behind(tmp_path, host="elsewhere", pid=1)
    with held(tmp_path):
        pass


def test_somebody_elses_process_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_ours(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(fcntl, "flock", no_locks)
    left_behind(tmp_path)
    monkeypatch.setattr(os, "kill", not_ours)
    assert holder(tmp_path) is not None


@pytest.mark.parametrize("text", ["", "\n", "{", "[1]", '{"pid": 1}', "\0\0"])
def test_what_makes_no_sense_holds_nothing(tmp_path: Path, text: str, file_system: str) -> None:
    (tmp_path / ".lock").write_text(text)
    assert holder(tmp_path) is None
    with held(tmp_path):
        pass


def test_a_folder_that_was_never_held_has_no_holder(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_another_error_of_the_lock_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output error"), held(tmp_path):
        pass


def test_asking_keeps_nobody_out(tmp_path: Path) -> None:
    """`holder` has the lock for an instant: whoever comes just then tries again."""
    with (tmp_path / ".lock").open("w") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        real, calls = fcntl.flock, []

        def once(descriptor: int, how: int) -> None:
            calls.append(how)
            if len(calls) == 2:
                real(asking, fcntl.LOCK_UN)
            real(descriptor, how)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fcntl, "flock", once)
            with held(tmp_path):
                assert len(calls) == 2


def test_a_holder_reads_well() -> None:
    assert str(Holder(7, 1, "here", "2026-01-01T00:00:00+00:00")) == "process 7 on here since 2026-01-01T00:00:00+00:00"


TAKE_TURNS = """
import fcntl, os, sys, time
from pathlib import Path
from tunery.store.disk.lock import alone

folder, turns, seconds = Path(sys.argv[1]), 12, 0.001
if sys.argv[2] == "no locks":
    turns, seconds = 3, 0.1  # longer than it takes another process to believe that it is alone
    def no_locks(*_):
        raise OSError(37, "No locks available")
    fcntl.flock = no_locks
for _ in range(turns):
    with alone(folder, say=print):
        count = int((folder / "count").read_text())
        time.sleep(seconds)
        (folder / "count").write_text(str(count + 1))
"""


@pytest.mark.parametrize(("kind", "turns"), [("locks", 36), ("no locks", 9)])
def test_turns_of_several_processes_do_not_overlap(tmp_path: Path, kind: str, turns: int) -> None:
    (tmp_path / "count").write_text("0")
    command = [sys.executable, "-c", TAKE_TURNS, str(tmp_path), kind]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    assert [child.communicate()[0] for child in children] == [b""] * 3
    assert (tmp_path / "count").read_text() == str(turns)


WAIT_IN_TURN = """
import sys, time
from pathlib import Path
from tunery.store.disk.lock import alone
with alone(Path(sys.argv[1]), say=print):
    print("alone", flush=True)
    time.sleep(60)
"""


def test_a_turn_ends_with_its_process_and_a_long_one_is_told(tmp_path: Path) -> None:
    told: list[str] = []

    with process(WAIT_IN_TURN, tmp_path) as (child, said):
        assert said == "alone"

        def say(text: str) -> None:
            told.append(text)
            child.kill()

        with alone(tmp_path, say=say, patience=0.0):
            pass
    assert told == [f"waiting for another process, which is at work in {str(tmp_path)!r}"]


def test_threads_take_turns_too(tmp_path: Path, file_system: str) -> None:
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(3):
            with alone(tmp_path, say=print):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.002)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_whoever_was_given_a_copy_in_a_turn_does_not_prolong_it(tmp_path: Path) -> None:
    with alone(tmp_path, say=print):
        copy = next(int(path.name) for path in Path("/proc/self/fd").iterdir() if is_lock(path, tmp_path))
        child = subprocess.Popen(["sleep", "60"], pass_fds=[copy])
    try:
        with alone(tmp_path, say=pytest.fail, patience=0.0):
            pass
    finally:
        child.kill()
        child.wait()


def is_lock(descriptor: Path, folder: Path) -> bool:
    return descriptor.exists() and descriptor.resolve() == folder.resolve() / ".lock"


def test_who_holds_a_folder_that_may_only_be_read_is_told() -> None:
    """To somebody who may neither write to the lock nor make one."""
    reading, writing = os.pipe()
    with TemporaryDirectory() as name:
        folder = Path(name)
        with held(folder):
            (folder / ".lock").chmod(0o444)
            folder.chmod(0o555)
            if (child := os.fork()) == 0:
                try:
                    if os.getuid() == 0:  # root may write everywhere
                        os.setuid(65534)
                    os.write(writing, str(holder(folder)).encode())
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
            folder.chmod(0o755)
    os.close(writing)
    with open(reading) as answer:
        assert answer.read().startswith(f"process {os.getpid()} on ")
