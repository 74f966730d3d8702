"""What the process that reads exported folders (`reader.py`) does with a question."""

import gc
import io
import json
import os
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch

from tunery.data.examples import Example
from tunery.errors import reason_of
from tunery.train.predict.inference import load


def answer(question: dict[str, Any], answers: BinaryIO) -> None:
    """Write the answers, or why there are none, and forget the model."""
    _write_answers(question, answers)
    gc.collect()  # models are full of cycles, and the next one may need the room
    torch.cuda.empty_cache()


def _write_answers(question: dict[str, Any], answers: BinaryIO) -> None:
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
