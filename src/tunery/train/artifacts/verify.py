"""An exported folder is asked for its answers, in a process that has never seen the model that was trained.

A process that has seen no model yet can fork its reader instead of starting one, which then need not import all again.
"""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch

from tunery.data.examples import Example
from tunery.data.row_table import Array, gap
from tunery.errors import ExportMismatch
from tunery.train.artifacts.reader import serve
from tunery.train.artifacts.reader_process import NOTHING, READER
from tunery.train.predict.inference import Answerer

ROWS: Final = 32
"""Rows on which two models are compared."""
MOST_CHARACTERS: Final = 50_000
"""Of each of their texts."""
TOLERANCE: Final = 1e-4
"""Largest difference, in fp32, between answers that count as the same (`row_table.gap`)."""


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
        raise ExportMismatch(f"{message}{NOTHING}: please report this")


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
        raise ExportMismatch(f"{rule} ({head['error']}); {NOTHING}")
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        return dict(arrays)


def read_from_a_fork() -> None:
    """Let exports be read by a copy of this process, as it is now: without a model, without CUDA, with one thread."""
    READER.fork(serve)
