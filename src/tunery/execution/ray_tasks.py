"""Trains the runs of a study as Ray tasks: on this machine, or wherever a Ray cluster has room.

`RAY_ADDRESS` says which cluster; without it one is started on this machine. The study's folder and the data must be
where all of its machines see them, and tunery installed there.
"""

import itertools
import math
import os
import time
from collections.abc import Mapping
from typing import Any, Final, Literal, final

from tunery.errors import MissingExtra, RequestError
from tunery.execution.in_process import InThisProcess
from tunery.execution.runner import Epoch, Job, Judge, Outcome, Runner, Stop
from tunery.execution.trial_process import Forwards
from tunery.train.library_warnings import quiet_libraries

_LOOK: Final = 0.1
"""Seconds between two looks into the mailbox."""
_PAUSE: Final = 0.5
"""Least seconds between two signs of life."""


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
        self._ray = _imported()
        self._is_ours = not self._ray.is_initialized()
        if self._is_ours:
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

    def run(self, job: Job, *, judge: Judge, stop: Stop) -> Outcome:
        """Train it in a task; where its machine dies, in another. What the judge raises is raised, and ends the run."""
        while (outcome := self._once(job, judge=judge, stop=stop)) is None:
            pass
        return outcome

    def _once(self, job: Job, *, judge: Judge, stop: Stop) -> Outcome | None:
        """None: the machine has died, which is nobody's fault; the next task goes on from the resume point."""
        number = next(self._numbers)
        task = self._task.remote(job, os.getcwd(), self._mailbox, number)
        try:
            outcome = self._follow(task, number, job, judge=judge, stop=stop)
        except BaseException:
            self._mailbox.leave.remote(number, "the end of the study")
            self._mailbox.answer.remote(number, "the study has ended")  # it may be waiting for one
            raise
        self._mailbox.forget.remote(number)
        return outcome

    def close(self) -> None:
        """End the mailbox, and Ray where it was started for this."""
        self._ray.kill(self._mailbox)
        if self._is_ours:
            self._ray.shutdown()

    def _follow(self, task: Any, number: int, job: Job, *, judge: Judge, stop: Stop) -> Outcome | None:
        asked, patience = False, job.config.search.stall_timeout
        while not self._ray.wait([task], timeout=_LOOK)[0]:
            silent, epoch = self._ray.get(self._mailbox.look.remote(number))
            if epoch is not None:
                self._ray.get(self._mailbox.answer.remote(number, judge(epoch)))
            why = stop()
            if why is not None and not asked:
                asked = True
                self._ray.get(self._mailbox.leave.remote(number, why))
            if (given_up := _given_up(silent, patience, asked=asked)) is not None:
                self._ray.cancel(task, force=True)  # never where it might end by itself: that is fatal to Ray's driver
                return given_up
        return self._ended(task)

    def _ended(self, task: Any) -> Outcome | None:
        errors = self._ray.exceptions
        try:
            outcome: Outcome = self._ray.get(task)
        except errors.NodeDiedError:
            return None
        except errors.RayError as error:
            status: Literal["out_of_memory", "failed"] = (
                "out_of_memory" if isinstance(error, errors.OutOfMemoryError) else "failed"
            )
            words = str(error).strip().partition("\n")[0]
            return Outcome(status, f"the task ended with {type(error).__name__}: {words}")
        return outcome


def _given_up(silent: float | None, patience: float | None, *, asked: bool) -> Outcome | None:
    """What becomes of a run that has not begun when it is asked to leave, or that has long been silent."""
    if silent is None:
        return Outcome("interrupted", "nothing had begun") if asked else None
    if patience is not None and silent > patience:
        return Outcome("failed", f"no progress for {patience:g} s; search.stall_timeout sets how long to wait")
    return None


def _imported() -> Any:
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

    from tunery.execution.ray_mailbox import Mailbox

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here, max_concurrency=1000).remote()


def _train(job: Job, cwd: str, mailbox: Any, number: int) -> Outcome:
    """In the task: train the job, and say how it ended."""
    os.chdir(cwd)  # what the config names may be relative to it
    quiet_libraries()
    study = _Study(mailbox, number)
    study.alive()
    return InThisProcess([Forwards(study.alive)]).run(job, judge=study.judge, stop=study.stop)


@final
class _Study:
    """The study, from the task's side."""

    def __init__(self, mailbox: Any, number: int) -> None:
        self._get = _imported().get
        self._mailbox = mailbox
        self._number = number
        self._told = -math.inf
        self._leave: str | None = None

    def judge(self, epoch: Epoch) -> str | None:
        """What the study says to an epoch."""
        answer: str | None = self._get(self._mailbox.ask.remote(self._number, epoch))
        return answer

    def alive(self) -> None:
        """Say now and then that there is progress, and hear whether to leave."""
        if time.monotonic() - self._told >= _PAUSE:
            self._told = time.monotonic()
            self._leave = self._get(self._mailbox.alive.remote(self._number))

    def stop(self) -> str | None:
        """What asks the run to leave."""
        self.alive()
        return self._leave
