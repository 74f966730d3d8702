"""The process that reads exported folders, started by `reader_process` alone as `python -m
tunery.train.artifacts.reader`, or a fork.

A line of JSON comes in (`folder`, `texts`, `cwd`, `threads`, `trust_remote_code`); a line of JSON goes out: `error`
with the reason, or `bytes`, and as many of them follow: a flat table of answers in .npz format. Whatever else is
printed goes to standard error.
It ends when its standard input does: at once, whatever it is doing, importing included. Where memory is short it is the
first process that Linux ends; another is then started for the question.
"""

import json
import os
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO

from tunery.startup import imports
from tunery.train.library_warnings import quiet_libraries


def main() -> None:
    """Answer what comes on standard input."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not get into an answer
    quiet_libraries()
    with suppress(OSError):  # a system without this file
        Path("/proc/self/oom_score_adj").write_text("1000")
    serve(sys.stdin.buffer, answers)


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer one question after the other; where there can be no more, the process ends."""
    waiting: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(questions, waiting), daemon=True).start()
    with imports():  # seconds, in which the process that asks may end
        from tunery.train.artifacts.answering import answer

        import_module("peft")  # most exports are adapters, and nobody waits yet
    while True:
        answer(json.loads(waiting.get()), answers)


def _listen(questions: BinaryIO, waiting: "SimpleQueue[bytes]") -> None:
    for line in questions:
        waiting.put(line)
    os._exit(0)  # the process that asks is gone


if __name__ == "__main__":
    main()
