"""Forks a process for every trial from one that has all in memory which trials share; see `fork_server_main`."""

import gc
import os
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from functools import cache
from typing import final

import torch

from tunery.execution.channel import Channel
from tunery.execution.devices import environment_of
from tunery.execution.messages import Ended, Train, WarmUp
from tunery.execution.own_interpreter import start_interpreter
from tunery.execution.run_process import train
from tunery.execution.runner import Outcome
from tunery.model.backbones.backbone import base_digest
from tunery.model.backbones.catalog import Base
from tunery.model.build import load_base
from tunery.optim.optimizers import QUANT
from tunery.schema import RunConfig
from tunery.schema.config.model import Model
from tunery.schema.config.task import Output
from tunery.train.artifacts.verify import read_from_a_fork
from tunery.train.library_warnings import quiet_libraries
from tunery.train.setup.prepare import prepare


def serve(control: socket.socket) -> None:
    """Begin a trial for every socket that comes, until nothing can come any more."""
    quiet_libraries()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a team of GNU OpenMP that has once met does not outlive a fork
    _ForkServer(control, threads=threads).serve()


@final
class _ForkServer:
    """One thread does everything, so that no fork has a lock that no thread of it will open."""

    def __init__(self, control: socket.socket, *, threads: int) -> None:
        """Args:
        threads: what a process that computes alone would use.
        """
        self._control = control
        self._threads = threads
        self._trials: dict[int, Channel] = {}
        self._died, self._dying = socket.socketpair()

    def serve(self) -> None:
        """Start processes, and say when they have ended."""
        self._dying.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._dying.fileno())
        waiting = select.poll()  # `select` would refuse a descriptor beyond 1,023
        for end in (self._control, self._died):
            waiting.register(end, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in waiting.poll()]
            if self._died.fileno() in ready:
                self._died.recv(2**10)
                self._report_ended()
            if self._control.fileno() in ready:
                _, ends, _, _ = socket.recv_fds(self._control, 1, 1)
                if not ends:
                    return
                with suppress(EOFError):
                    self._begin(socket.socket(fileno=ends[0]))

    def _begin(self, end: socket.socket) -> None:
        channel = Channel(end)
        try:
            match channel.receive():
                case WarmUp(config, directory, trust_remote_code):
                    os.chdir(directory)
                    _warm_up(config, trust_remote_code=trust_remote_code)
                case Train() as request:
                    os.chdir(request.directory)
                    self._trials[self._started(request, channel, end)] = channel
                    return
        except OSError as error:  # of this trial alone: no process to be had, or its folder is gone
            channel.send(Outcome("failed", f"its process could not be started: {error}"))
            channel.send(Ended(1))
        channel.close()

    def _started(self, request: Train, channel: Channel, end: socket.socket) -> int:
        """The number of the process that trains what is asked for."""
        _warm_up(request.job.config, trust_remote_code=request.job.trust_remote_code)
        is_cuda_used: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        if _needs_an_interpreter(request.job.config) or is_cuda_used:  # by some library, in spite of all: a fork cannot
            return start_interpreter(request, end)
        if (pid := os.fork()) != 0:
            return pid
        try:
            self._become(request, channel)
        except BaseException:
            traceback.print_exc()
        os._exit(1)

    def _become(self, request: Train, channel: Channel) -> None:
        """In the child: be a process like any other, then the trial's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in (self._control, self._died, self._dying):
            end.close()
        for other in self._trials.values():
            other.close()
        os.environ.update(environment_of(request.job.device))  # nothing in here has woken a device up
        os.register_at_fork(after_in_child=channel.close)  # a process that it forks has nothing to say
        if not request.job.config.data.cross_validates:  # which exports nothing
            read_from_a_fork()
        train(request, channel, threads=self._threads)
        sys.stderr.flush()
        os._exit(0)

    def _report_ended(self) -> None:
        """Say how processes have ended, each to the study that knows what it means."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                channel = self._trials.pop(pid)
                channel.send(Ended(os.waitstatus_to_exitcode(status)))
                channel.close()


def _needs_an_interpreter(config: RunConfig) -> bool:
    """Whether a trial needs bitsandbytes, which there is none of here."""
    return config.model.quantization is not None or isinstance(config.optim, QUANT)


def _warm_up(config: RunConfig, *, trust_remote_code: bool) -> None:
    """Have in memory what the trial will ask for, and in no generation that its garbage collector looks through."""
    if _needs_an_interpreter(config):
        return
    with suppress(Exception):  # whatever is wrong will be again in the trial, which can say so
        prepared = prepare(config, trust_remote_code=trust_remote_code)
        spec = config.model.model_copy(update={"max_length": 2})
        _load(spec, prepared.base, tuple(prepared.task.outputs.items()))
        gc.collect()
        gc.freeze()


@cache
def _load(spec: Model, base: Base, outputs: tuple[tuple[str, Output], ...]) -> None:
    """Read the base once: its files are mapped, so that all trials share the pages, and its code is imported."""
    load_base(spec, base=base, outputs=dict(outputs))
    base_digest(base)
