"""Everything that is said between the process that wants a run and the one that trains it, and how it is written."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import TypeAdapter

from tunery.execution.runner import Epoch, Job, Outcome
from tunery.schema import RunConfig


@dataclass(frozen=True)
class WarmUp:
    """To a server of processes: read what runs like this one share."""

    config: RunConfig
    directory: Path
    """What relative names in the config are relative to."""
    trust_remote_code: bool


@dataclass(frozen=True)
class Train:
    """Train this run."""

    job: Job
    directory: Path
    """What relative names in the config are relative to."""


@dataclass(frozen=True)
class Begun:
    """From the process of a run: it is there. It then sends an `Epoch` after every epoch, and its `Outcome`."""

    pid: int


@dataclass(frozen=True)
class Alive:
    """From the process of a run: it makes progress."""


@dataclass(frozen=True)
class Answer:
    """To a run that waits for it after an `Epoch`: why it is pruned, or None: it goes on."""

    reason: str | None


@dataclass(frozen=True)
class Leave:
    """To a run: save your state and leave."""

    why: str


@dataclass(frozen=True)
class Ended:
    """From the parent of a run's process: it is gone."""

    exit_code: int
    """Negative for a signal."""


Message = WarmUp | Train | Begun | Alive | Epoch | Answer | Leave | Outcome | Ended

_KINDS: Final[Mapping[str, TypeAdapter[Any]]] = {kind.__name__: TypeAdapter(kind) for kind in get_args(Message)}


def encode(message: Message) -> str:
    """The message as one line of JSON: the name of its class, then its fields."""
    kind = type(message).__name__
    return json.dumps([kind, _KINDS[kind].dump_python(message, mode="json")])


def decode(line: str | bytes) -> Message:
    """The message in a line that `encode` has made.

    Raises:
        json.JSONDecodeError: when the line is torn.
    """
    kind, fields = json.loads(line)
    message: Message = _KINDS[kind].validate_python(fields)
    return message
