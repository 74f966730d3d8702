"""Messages are the same on both ends of a line, whatever they hold."""

import json
import math
from pathlib import Path
from typing import get_args

import pytest

from tunery.execution.messages import Alive, Answer, Begun, Ended, Leave, Message, Train, WarmUp, decode, encode
from tunery.execution.runner import Epoch, Job, Outcome
from tunery.schema.reading.document import validate
from tunery.schema.results.run import DataRecord, Memory, Progress

CONFIG = validate(
    {
        "task": {"kind": "multilabel"},
        "data": {"train": "a.csv"},
        "model": {"name": "somewhere", "max_length": 32},
        "peft": {"method": "peft", "config": "VeraConfig", "arguments": {"r": 4}},
        "optim": {"name": "lion", "lr": 1e-5},
        "search": {"pruner": "hyperband", "sampler": "tpe"},
    }
)
JOB = Job(CONFIG, Path("cells/none/0"), None, "line\nbreak", trust_remote_code=True, data=DataRecord(splits={}))
MESSAGES: list[Message] = [
    WarmUp(CONFIG, Path("/somewhere"), trust_remote_code=True),
    Train(JOB, Path("/somewhere")),
    Begun(7),
    Alive(),
    Epoch(3, None, Progress(memory=Memory(host_peak_bytes=5))),
    Epoch(3, math.inf, Progress()),
    Answer(None),
    Answer("too slow"),
    Leave("SIGINT"),
    Outcome("pruned", "too slow"),
    Ended(-9),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_what_is_read_is_what_was_written_on_one_line(message: Message) -> None:
    line = encode(message)
    assert decode(line) == message and "\n" not in line


def test_every_kind_of_message_is_here() -> None:
    assert {type(message) for message in MESSAGES} == set(get_args(Message))


def test_a_torn_line_is_no_message() -> None:
    for end in range(len(line := encode(Leave("SIGINT")))):
        with pytest.raises(json.JSONDecodeError):
            decode(line[:end])
