"""Where the trials of a study may be trained, by name."""

from collections.abc import Callable, Mapping
from typing import Final

from tunery.errors import RequestError, did_you_mean
from tunery.hpo.here import InThisProcess
from tunery.hpo.processes import WarmProcesses
from tunery.hpo.ray import RayTasks
from tunery.hpo.runner import Runner

ENGINES: Final[Mapping[str, Callable[[float | None], Runner]]] = {
    "processes": lambda gpus: WarmProcesses(),
    "here": lambda gpus: InThisProcess(),
    "ray": lambda gpus: RayTasks(gpus_per_trial=gpus),
}
"""`processes`: one warm process for each trial; `here`: in this one, to look into it with a debugger; `ray`: tasks of a
Ray cluster. Each gets the GPUs of one trial."""


def make_runner(engine: str, *, gpus_per_trial: float | None) -> Runner:
    """What trains runs under the name `engine`; close it at the end.

    Raises:
        RequestError: when there is no such engine, or it shares out no GPUs.
    """
    if engine not in ENGINES:
        raise RequestError(f"unknown engine {engine!r}; {did_you_mean(engine, ENGINES)}")
    if gpus_per_trial is not None and engine != "ray":
        message = f"`--gpus-per-trial` (gpus_per_trial) is for the engine 'ray', but got {engine!r}"
        raise RequestError(f"{message}; remove it, or take --engine ray")
    return ENGINES[engine](gpus_per_trial)
