"""Where the trials of a study may be trained, by name. What trains is imported once it is asked for."""

from collections.abc import Callable, Mapping
from typing import Final

from tunery.errors import RequestError, did_you_mean
from tunery.execution.forked import WarmProcesses
from tunery.execution.runner import Runner


def _in_this_process(gpus: float | None) -> Runner:
    from tunery.execution.in_process import InThisProcess

    return InThisProcess()


def _ray_tasks(gpus: float | None) -> Runner:
    from tunery.execution.ray_tasks import RayTasks

    return RayTasks(gpus_per_trial=gpus)


ENGINES: Final[Mapping[str, Callable[[float | None], Runner]]] = {
    "processes": lambda gpus: WarmProcesses(),
    "here": _in_this_process,
    "ray": _ray_tasks,
}
"""`processes`: one warm process for each trial; `here`: in this one, to look into it with a debugger; `ray`: tasks of a
Ray cluster. Each gets the GPUs of one trial."""


def make_runner(engine: str, *, n_jobs: int, gpus_per_trial: float | None) -> Runner:
    """What trains runs under the name `engine`; close it at the end.

    Raises:
        RequestError: when there is no such engine, it shares out no GPUs, or cannot train `n_jobs` runs at once.
    """
    if engine not in ENGINES:
        raise RequestError(f"unknown engine {engine!r}; {did_you_mean(engine, ENGINES)}")
    if gpus_per_trial is not None and engine != "ray":
        message = f"`--gpus-per-trial` (gpus_per_trial) is for the engine 'ray', but got {engine!r}"
        raise RequestError(f"{message}; remove it, or take --engine ray")
    if n_jobs > 1 and engine == "here":
        message = f"the engine 'here' trains one trial at a time, but search.n_jobs (--jobs) is {n_jobs}"
        raise RequestError(f"{message}; set it to 1, or take --engine processes")
    return ENGINES[engine](gpus_per_trial)
