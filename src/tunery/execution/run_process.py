"""The process of one run, from the inside. `fork_server` forks it, or `run_process_main` is its own interpreter."""

import os
from collections.abc import Callable
from typing import Any, final

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunery.execution.channel import Channel
from tunery.execution.conversation import Supervisor
from tunery.execution.in_process import InThisProcess
from tunery.execution.messages import Train


def train(request: Train, channel: Channel, *, threads: int) -> None:
    """Train a run, and say how it ended.

    Args:
        threads: what it would compute with if nothing ran beside it.
    """
    os.chdir(request.directory)
    torch.set_num_threads(request.job.share_of(threads))
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
