"""An exported folder is asked for its answers, in a process that has never seen the model that was trained.

The process (`reader.py`) is started when it is first needed, serves until this one ends, however that happens, and is
started again where it died. A process that has seen no model yet can fork its reader instead, which then need not
import all again.
"""

import atexit
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, final

import numpy as np
import torch

from tunery.data.examples import Example
from tunery.data.row_table import Array, gap
from tunery.errors import ExportMismatch
from tunery.train.artifacts.fork import Fork
from tunery.train.artifacts.reader import serve
from tunery.train.exit_text import exit_text
from tunery.train.predict.inference import Answerer

COMMAND: Final = (sys.executable, "-P", "-m", "tunery.train.artifacts.reader")
ROWS: Final = 32
"""Rows on which two models are compared."""
MOST_CHARACTERS: Final = 50_000
"""Of each of their texts."""
TOLERANCE: Final = 1e-4
"""Largest difference, in fp32, between answers that count as the same (`row_table.gap`)."""
_NOTHING: Final = "nothing was published"


def require_same(folder: Path, live: Answerer, examples: Sequence[Example], *, trust_remote_code: bool = False) -> None:
    """Compare an exported folder with a model in this process, both in fp32.

    Args:
        trust_remote_code: whether the other process may run code that comes with the model.

    Raises:
        ExportMismatch: when the folder cannot be read, or its answers are not those of `live`.
    """
    examples = [Example(example.text[:MOST_CHARACTERS], example.text_pair) for example in examples]
    here = live.answers(examples, precision="fp32").flat()
    difference = gap(here, answers_from(folder, examples, trust_remote_code=trust_remote_code))
    if not difference <= TOLERANCE:
        message = f"the exported model must give the trained model's answers, but they differ by {difference:.2e}; "
        raise ExportMismatch(f"{message}{_NOTHING}: please report this")


def answers_from(folder: Path, examples: Sequence[Example], *, trust_remote_code: bool = False) -> dict[str, Array]:
    """Answers of an exported folder as a flat table, computed in fp32 by the other process.

    Raises:
        ExportMismatch: when the folder cannot be read, or the process dies over it.
    """
    torch.cuda.empty_cache()  # it shares the device with this process, which needs no more than its weights now
    question = {
        "folder": str(folder.absolute()),
        "texts": [(example.text, example.text_pair) for example in examples],
        "cwd": os.getcwd(),  # the base may be named relative to it
        "threads": torch.get_num_threads(),
        "trust_remote_code": trust_remote_code,
    }
    head, body = READER.ask(question)
    if "error" in head:
        rule = f"the exported model must be readable in another process, but {str(folder)!r} is not"
        raise ExportMismatch(f"{rule} ({head['error']}); {_NOTHING}")
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        return dict(arrays)


Answer = tuple[dict[str, Any], bytes]
Process = subprocess.Popen[bytes] | Fork


@final
class Reader:
    """The other process, from this one's side. One question at a time, from whichever thread."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        """Args:
        command: starts the process.
        """
        self._command = command
        self._lock = threading.Lock()
        self._process: Process | None = None
        atexit.register(self.end)
        os.register_at_fork(after_in_child=self.disown)

    @property
    def pid(self) -> int | None:
        """Number of the process, if there is one."""
        return self._process.pid if self._process else None

    def fork(self) -> None:
        """Begin now, as a copy of this process, which has seen no model yet. When that dies, another is started."""
        self._process = Fork(serve)

    def ask(self, question: Mapping[str, Any]) -> Answer:
        """Raises:
        ExportMismatch: the process died over it.
        """
        with self._lock:
            process = self._running()
            stdin, stdout = _pipes(process)
            try:
                with suppress(BrokenPipeError):  # it died already: its exit code says how
                    stdin.write(f"{json.dumps(question)}\n".encode())
                    stdin.flush()
                line = stdout.readline()
                if line.endswith(b"\n"):
                    head = json.loads(line)
                    size = head.get("bytes", 0)
                    body = stdout.read(size)
                    if len(body) == size:
                        return head, body
                ending = exit_text(process.wait())
                raise ExportMismatch(f"the process that reads the exported model back {ending}; {_NOTHING}")
            except BaseException:
                process.kill()  # a late answer must not be taken for the next one's
                self._end(process)
                raise

    def end(self) -> None:
        """Called when this process ends, in its own time."""
        if self._process is not None:
            self._end(self._process)

    def disown(self) -> None:
        """Called in a fork of this process: the reader is its parent's, and must not live as long as the fork."""
        if self._process is not None:
            _close(self._process)
            self._process.returncode = 0  # there is no child here to wait for
        self._lock, self._process = threading.Lock(), None

    def _running(self) -> Process:
        if self._process is not None and self._process.poll() is not None:
            self._end(self._process)
        if self._process is None:
            pipe = subprocess.PIPE
            # a session of its own: a Ctrl-C is meant for this process, which may have questions left
            self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, start_new_session=True)
        return self._process

    def _end(self, process: Process) -> None:
        _close(process)
        process.wait()
        self._process = None


def _pipes(process: Process) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the reader needs both pipes")
    return process.stdin, process.stdout


def _close(process: Process) -> None:
    for pipe in _pipes(process):
        with suppress(BrokenPipeError):
            pipe.close()


READER: Final = Reader()


def read_from_a_fork() -> None:
    """Let exports be read by a copy of this process, as it is now: without a model, without CUDA, with one thread."""
    READER.fork()
