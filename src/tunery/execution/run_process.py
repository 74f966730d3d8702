"""The process of one run, from the inside. `fork_server` forks it; an interpreter of its own is started by
`own_interpreter`: `python -m tunery.execution.run_process`.
"""

import os
import socket
import sys
from collections.abc import Callable
from typing import Any, final

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunery.execution.channel import Channel
from tunery.execution.conversation import Supervisor
from tunery.execution.in_process import InThisProcess
from tunery.execution.messages import Train, decode
from tunery.train.library_warnings import quiet_libraries


def main() -> None:
    """Train what standard input says, and answer into the socket whose number is the argument."""
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no result of the command's
    quiet_libraries()
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    os.register_at_fork(after_in_child=channel.close)  # a process that it forks has nothing to say
    request = decode(sys.stdin.read())
    if isinstance(request, Train):
        train(request, channel)


def train(request: Train, channel: Channel) -> None:
    """Train a run, and say how it ended."""
    os.chdir(request.directory)
    supervisor = Supervisor(channel, patience=request.job.stall_timeout, owns_process=True)
    runner = InThisProcess([SignsOfLife(supervisor.alive)])
    channel.send(runner.run(request.job, prune=supervisor.prune, stop=supervisor.stop))


@final
class SignsOfLife(TrainerCallback):
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
