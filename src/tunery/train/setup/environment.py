"""Where a run ran."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import torch

from tunery.hardware import device_name
from tunery.schema.results.run import Environment

_PACKAGES = ("tunery", "torch", "transformers", "peft", "accelerate", "optuna", "datasets", "numpy", "safetensors")
_COMPUTING = ("torch", "transformers", "peft", "accelerate", "numpy")
"""Those that take part in the arithmetic."""


def environment(device: torch.device, *, precision: str, reason: str) -> Environment:
    """The record of this process: versions, platform, device, precision and why."""
    threads = torch.get_num_threads()
    return Environment(
        python=platform.python_version(),
        packages={package: installed for package in _PACKAGES if (installed := _version(package))},
        platform=platform.platform(),
        device=f"{device.type}: {device_name(device)}, {threads} thread{'' if threads == 1 else 's'}",
        precision=precision,
        precision_reason=reason,
    )


def conditions(environment: Environment) -> dict[str, str | None]:
    """All that the last bits of a result depend on, by name."""
    packages = {package: environment.packages.get(package) for package in _COMPUTING}
    return {**packages, "device": environment.device, "precision": environment.precision}


def changed_environment(before: Environment, now: Environment) -> str:
    """What of the conditions is another, in words; empty where nothing is."""
    old, new = conditions(before), conditions(now)
    return "; ".join(f"{what} was {old[what]} and is {new[what]}" for what in old if old[what] != new[what])


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
