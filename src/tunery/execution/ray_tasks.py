"""Trains the runs of a study as Ray tasks: on this machine, or wherever a Ray cluster has room.

`RAY_ADDRESS` says which cluster; without it one is started on this machine. The study's folder and the data must be
where all of its machines see them, and tunery installed there.
"""

import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, final

from tunery.errors import MissingExtra, RequestError
from tunery.execution.conversation import Supervisor, supervise
from tunery.execution.in_process import InThisProcess
from tunery.execution.messages import Message
from tunery.execution.ray_mailbox import Mailbox, MailboxLine
from tunery.execution.run_process import SignsOfLife
from tunery.execution.runner import Job, Outcome, Prune, Runner, Stop
from tunery.train.library_warnings import quiet_libraries


@final
class RayTasks(Runner):
    """A task for each run, with a share of a device. A task that dies touches only its run."""

    def __init__(self, *, gpus_per_trial: float | None = None, cpus_per_trial: float = 1.0) -> None:
        """Args:
        gpus_per_trial: 0.5 has two trials share a device; Ray keeps places, the memory is theirs to share. None: one,
            where the cluster has any.
        cpus_per_trial: processors that a trial may use.

        Raises:
            RequestError: when Ray is not installed, or no machine of the cluster has that much.
        """
        self._ray = _import_ray()
        self._has_started_ray = not self._ray.is_initialized()
        if self._has_started_ray:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            self._ray.init(include_dashboard=False, log_to_driver=True)
        gpus = min(1.0, self._ray.cluster_resources().get("GPU", 0.0)) if gpus_per_trial is None else gpus_per_trial
        _refuse_what_no_machine_has(self._ray, {"GPU": gpus, "CPU": cpus_per_trial})
        self._numbers = itertools.count()
        self._mailbox = _mailbox(self._ray)
        # whether a run is tried again is the study's to decide
        self._task = self._ray.remote(_train).options(
            num_gpus=gpus, num_cpus=cpus_per_trial, max_retries=0, retry_exceptions=False
        )

    def run(self, job: Job, *, prune: Prune, stop: Stop) -> Outcome:
        """Train it in a task; where its machine dies, in another, which goes on from the resume point. What
        `prune` raises is raised, and ends the run."""
        while (outcome := self._run_once(job, prune=prune, stop=stop)) is None:
            pass
        return outcome

    def _run_once(self, job: Job, *, prune: Prune, stop: Stop) -> Outcome | None:
        """None: the machine has died; the run may be trained on another."""
        number = next(self._numbers)
        boxes = f"run {number}", f"study of run {number}"
        self._ray.get([self._mailbox.open.remote(box) for box in boxes])
        task = _Task(self._ray, self._task.remote(job, Path.cwd(), self._mailbox, *boxes), self._mailbox, *boxes)
        try:
            return supervise(task, job, prune=prune, stop=stop) or task.outcome()
        finally:
            for box in boxes:  # tells a run that is still at work to leave
                self._mailbox.close.remote(box)

    def close(self) -> None:
        """End the mailbox, and Ray where it was started for this."""
        self._ray.kill(self._mailbox)
        if self._has_started_ray:
            self._ray.shutdown()


@final
class _Task:
    """The line to a run that is a Ray task."""

    def __init__(self, ray: Any, task: Any, mailbox: Any, box_of_run: str, box_of_study: str) -> None:
        self._ray = ray
        self._task = task
        self._line = MailboxLine(mailbox, inbox=box_of_study, outbox=box_of_run)
        self._is_killed = False

    def send(self, message: Message) -> None:
        self._line.send(message)

    def receive(self, seconds: float | None = None) -> Message | None:
        if self._is_killed or self._ray.wait([self._task], timeout=0)[0]:
            raise EOFError
        return self._line.receive(seconds)

    def kill(self) -> None:
        self._is_killed = True
        self._ray.cancel(self._task, force=True)  # never where it might end by itself: that is fatal to Ray's driver

    def outcome(self) -> Outcome | None:
        """Of a task that has ended; None where its machine has died."""
        errors = self._ray.exceptions
        try:
            outcome: Outcome = self._ray.get(self._task)
        except errors.NodeDiedError:
            return None
        except errors.RayError as error:
            status: Literal["out_of_memory", "failed"] = (
                "out_of_memory" if isinstance(error, errors.OutOfMemoryError) else "failed"
            )
            reason = str(error).strip().partition("\n")[0]
            return Outcome(status, f"the task ended with {type(error).__name__}: {reason}")
        return outcome


def _import_ray() -> Any:
    try:
        import ray
    except ImportError:
        raise MissingExtra("ray", extra="ray") from None
    return ray


def _refuse_what_no_machine_has(ray: Any, wanted: Mapping[str, float]) -> None:
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(machine.get(kind, 0.0) >= count for kind, count in wanted.items()) for machine in machines):
        most = {kind: max((machine.get(kind, 0.0) for machine in machines), default=0.0) for kind in wanted}
        raise RequestError(f"a trial asks for {_listed(wanted)} on one machine, but the cluster's have {_listed(most)}")


def _listed(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{count:g} {kind}" for kind, count in resources.items())


def _mailbox(ray: Any) -> Any:
    """On the machine of the study, with which it lives and dies."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here, max_concurrency=1000).remote()


def _train(job: Job, directory: Path, mailbox: Any, box_of_run: str, box_of_study: str) -> Outcome:
    """In the task: train the job, and say how it ended."""
    os.chdir(directory)  # what the config names may be relative to it
    quiet_libraries()
    line = MailboxLine(mailbox, inbox=box_of_run, outbox=box_of_study)
    supervisor = Supervisor(line, patience=None, owns_process=False)
    return InThisProcess([SignsOfLife(supervisor.alive)]).run(job, prune=supervisor.prune, stop=supervisor.stop)
