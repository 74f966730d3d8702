"""Where a run ran."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import torch

from tunery.schema.results.run import Environment

_PACKAGES = ("tunery", "torch", "transformers", "peft", "accelerate", "optuna", "datasets", "numpy", "safetensors")
_COMPUTING = ("torch", "transformers", "peft", "accelerate", "numpy")
"""Those that take part in the arithmetic."""


def environment(device: torch.device, *, precision: str, reason: str) -> Environment:
    """The record of this process: versions, platform, device, precision and why."""
    threads = torch.get_num_threads()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return Environment(
        python=platform.python_version(),
        packages={package: installed for package in _PACKAGES if (installed := _version(package))},
        platform=platform.platform(),
        device=f"{device.type}: {name}, {threads} thread{'' if threads == 1 else 's'}",
        precision=precision,
        precision_reason=reason,
    )


def changed_environment(before: Environment, now: Environment) -> str:
    """What of all that the last bits of a result depend on is another, in words; empty where nothing is."""
    pairs = [(package, before.packages.get(package), now.packages.get(package)) for package in _COMPUTING]
    pairs += [("device", before.device, now.device), ("precision", before.precision, now.precision)]
    return "; ".join(f"{what} was {old} and is {new}" for what, old, new in pairs if old != new)


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
