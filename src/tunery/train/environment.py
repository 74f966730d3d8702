"""Where a run ran."""

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from tunery.schema.results import Environment

_PACKAGES = ("tunery", "torch", "transformers", "peft", "accelerate", "optuna", "datasets", "numpy", "safetensors")


def environment(device: torch.device, *, precision: str, reason: str) -> Environment:
    """The record of this process: versions, platform, device, precision and why."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return Environment(
        python=platform.python_version(),
        packages={package: found for package in _PACKAGES if (found := _version(package))},
        platform=platform.platform(),
        device=f"{device.type}: {name}, {torch.get_num_threads()} threads",
        precision=precision,
        precision_reason=reason,
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
