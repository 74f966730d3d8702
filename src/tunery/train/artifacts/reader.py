"""The process that reads exported folders, started by `verify` alone: `python -m tunery.train.artifacts.reader`, or a
fork.

A line of JSON comes in (`folder`, `texts`, `cwd`, `threads`, `trust_remote_code`); a line of JSON goes out: `error`
with the reason, or `bytes`, and as many of them follow: a flat table of answers in .npz format. Whatever else is
printed goes to standard error.
It ends when its standard input does: at once, whatever it is doing.
"""

import gc
import io
import json
import os
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO, cast

import numpy as np
import torch

from tunery.data.examples import Example
from tunery.errors import reason_of
from tunery.train.library_warnings import quiet_libraries
from tunery.train.predict.inference import load


def main() -> None:
    """Answer what comes on standard input."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not get into an answer
    quiet_libraries()
    serve(sys.stdin.buffer, answers)


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer one question after the other; where there can be no more, the process ends."""
    waiting: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(questions, waiting), daemon=True).start()
    gc.freeze()
    while True:
        answer(json.loads(waiting.get()), answers)
        gc.collect()  # models are full of cycles, and the next one may need the room
        torch.cuda.empty_cache()


def _listen(questions: BinaryIO, waiting: "SimpleQueue[bytes]") -> None:
    for line in questions:
        waiting.put(line)
    os._exit(0)  # the process that asks is gone


def answer(question: dict[str, Any], answers: BinaryIO) -> None:
    """Write the answers, or why there are none."""
    body, head = io.BytesIO(), dict[str, Any]()
    try:
        os.chdir(question["cwd"])
        torch.set_num_threads(question["threads"])
        model = load(Path(question["folder"]), trust_remote_code=question["trust_remote_code"])
        examples = [Example(*text) for text in question["texts"]]
        np.savez(body, **cast(dict[str, Any], model.answers(examples, precision="fp32").flat()))
        head["bytes"] = body.tell()
    except Exception as error:  # whatever keeps a folder from being read is what was asked
        head["error"] = reason_of(error)
    answers.write(f"{json.dumps(head)}\n".encode() + body.getvalue())
    answers.flush()


if __name__ == "__main__":
    main()
