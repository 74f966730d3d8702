"""The process of one trial, from the inside. `fork_server` forks it; one that cannot be forked is started by
`python -m tunery.execution.trial_process`.

It says that it has `begun`, every `epoch`, that it is `alive`, and its `outcome`; it hears the judge's `answer`, and
`leave`. It leaves by itself when nobody is left to hear it.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, final

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunery.execution.channel import Channel, Message
from tunery.execution.in_process import InThisProcess
from tunery.execution.runner import Epoch, Job
from tunery.schema.reading.document import validate
from tunery.train.library_warnings import quiet_libraries

_PAUSE: Final = 0.5
"""Least seconds between two signs of life."""


def main() -> None:
    """Train what standard input says, and answer into the socket whose number is the argument."""
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no result of the command's
    quiet_libraries()
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    os.register_at_fork(after_in_child=channel.close)  # whom it forks has nothing to say
    train(json.load(sys.stdin), channel)


def train(request: Message, channel: Channel) -> None:
    """Train a job, and say how it ended."""
    os.chdir(request["cwd"])  # what the config names may be relative to it
    config = validate(request["config"])
    run = request["run"]
    job = Job(
        config,
        Path(run["folder"]),
        Path(run["study"]),
        run["title"],
        alone=run["alone"],
        trust_remote_code=request["trust_remote_code"],
    )
    study = _Study(channel, patience=config.search.stall_timeout)
    outcome = InThisProcess([Forwards(study.alive)]).run(job, judge=study.judge, stop=study.alive)
    channel.send(outcome=asdict(outcome))


@final
class _Study:
    """The study, from the trial's side."""

    def __init__(self, channel: Channel, *, patience: float | None) -> None:
        self._channel = channel
        self._patience = patience
        self._answers: SimpleQueue[str | None] = SimpleQueue()
        self._told = time.monotonic()
        channel.send(begun=os.getpid())
        threading.Thread(target=self._listen, daemon=True).start()

    def judge(self, epoch: Epoch) -> str | None:
        """What the study says to an epoch."""
        progress = epoch.progress.model_dump(mode="json")
        self._channel.send(epoch={"number": epoch.number, "value": epoch.value, "progress": progress})
        return self._answers.get()

    def alive(self) -> None:
        """Say now and then that there is progress."""
        if time.monotonic() - self._told >= _PAUSE:
            self._told = time.monotonic()
            self._channel.send(alive=True)

    def _listen(self) -> None:
        try:
            while True:
                self._hear(self._channel.receive() or {})
        except EOFError:
            if self._patience is not None:  # for what hangs so that it cannot leave: nobody else would end it
                signal.setitimer(signal.ITIMER_REAL, self._patience)
            _leave()
            self._answers.put(None)

    def _hear(self, message: Message) -> None:
        if "answer" in message:
            self._answers.put(message["answer"])
        if "leave" in message:
            _leave()


def _leave() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@final
class Forwards(TrainerCallback):
    """A pass through the model is a sign of life, also while it is scored."""

    def __init__(self, alive: Callable[[], None]) -> None:
        self._alive = alive

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """The hook stays as long as the process."""
        given["model"].register_forward_hook(lambda *_: self._alive())


if __name__ == "__main__":
    main()
