"""What is said about a run, on both ends, without a process."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import final

import pytest

from tunery.execution.channel import Channel
from tunery.execution.conversation import Supervisor, supervise
from tunery.execution.messages import Alive, Answer, Begun, Ended, Leave, Message
from tunery.execution.runner import Epoch, Job, Outcome
from tunery.schema.reading.document import validate
from tunery.schema.results.run import Progress

EPOCH = Epoch(1, 0.5, Progress())


def job(stall_timeout: float | None = None, *, study: Path | None = Path("study")) -> Job:
    document = {"task": {"kind": "classification"}, "data": {"train": "a.csv"}, "model": {"name": "somewhere"}}
    return Job(validate({**document, "search": {"stall_timeout": stall_timeout}}), Path("run"), study, "trial 0")


@final
class Script:
    """A run that says what was written for it, and None for a silence of 0.02 seconds."""

    def __init__(self, *messages: Message | None, once_killed: Message | None = None) -> None:
        self.messages = list(messages)
        self.once_killed = once_killed
        self.heard: list[Message] = []
        self.kills = 0

    def send(self, message: Message) -> None:
        self.heard.append(message)

    def receive(self, seconds: float | None = None) -> Message | None:
        if self.kills and self.once_killed:
            return self.once_killed
        if not self.messages:
            raise EOFError
        if (message := self.messages.pop(0)) is None:
            time.sleep(0.02)
        return message

    def kill(self) -> None:
        self.kills += 1


def test_an_epoch_is_judged_and_the_outcome_outlives_the_exit_code() -> None:
    run = Script(Begun(7), EPOCH, Alive(), Outcome("pruned", "too slow"), Ended(1))
    assert supervise(run, job(), prune=lambda epoch: "too slow", stop=lambda: None) == Outcome("pruned", "too slow")
    assert run.heard == [Answer("too slow")] and not run.kills


@pytest.mark.parametrize(("code", "status"), [(-15, "interrupted"), (-9, "out_of_memory"), (3, "failed")])
def test_a_process_that_ends_without_an_outcome(code: int, status: str) -> None:
    outcome = supervise(Script(Begun(7), Ended(code)), job(), prune=lambda _: None, stop=lambda: None)
    assert outcome is not None and outcome.status == status


def test_where_nobody_knows_how_it_ended_nothing_is_said() -> None:
    assert supervise(Script(Begun(7)), job(), prune=lambda _: None, stop=lambda: None) is None


def test_asked_to_leave_once_and_ended_where_nothing_had_begun() -> None:
    run = Script(Begun(7), None, None, Outcome("interrupted", "saved"), Ended(0))
    assert supervise(run, job(), prune=lambda _: None, stop=lambda: "SIGINT") == Outcome("interrupted", "saved")
    assert run.heard == [Leave("SIGINT")] and not run.kills
    queued = Script(None)
    outcome = supervise(queued, job(), prune=lambda _: None, stop=lambda: "SIGINT")
    assert outcome == Outcome("interrupted", "nothing had begun") and queued.kills == 1


def test_a_silent_trial_is_ended_and_a_run_that_is_no_trial_is_not() -> None:
    hangs = Script(Begun(7), *([None] * 50), once_killed=Ended(-9))
    outcome = supervise(hangs, job(0.1), prune=lambda _: None, stop=lambda: None)
    assert outcome == Outcome("failed", "no progress for 0.1 s; search.stall_timeout sets how long to wait")
    patient = Script(Begun(7), *([None] * 10), Ended(0), once_killed=Ended(-9))
    supervise(patient, job(0.1, study=None), prune=lambda _: None, stop=lambda: None)
    assert not patient.kills


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """Of a run and of who wants it."""
    first, second = socket.socketpair()
    with closing(Channel(first)) as run, closing(Channel(second)) as wanted:
        yield run, wanted


def test_a_run_hears_the_answer_and_why_it_is_to_leave(ends: tuple[Channel, Channel]) -> None:
    run, wanted = ends
    supervisor = Supervisor(run, patience=None, owns_process=False)
    assert wanted.receive(5) == Begun(os.getpid())
    wanted.send(Answer("too slow"))
    assert supervisor.prune(EPOCH) == "too slow" and wanted.receive(5) == EPOCH
    wanted.send(Leave("SIGINT"))
    wanted.send(Answer(None))
    assert supervisor.prune(EPOCH) is None and supervisor.stop() == "SIGINT"


def test_a_run_that_nobody_wants_any_more_is_not_kept_waiting(ends: tuple[Channel, Channel]) -> None:
    run, wanted = ends
    supervisor = Supervisor(run, patience=None, owns_process=False)
    wanted.close()
    assert supervisor.prune(EPOCH) is None and supervisor.stop() is not None
