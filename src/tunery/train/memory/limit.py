"""How much memory there is for runs: the device's, or what the host has left for this process."""

import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import torch

from tunery.hardware import pick_device

MEMINFO: Final = Path("/proc/meminfo")
OWN_GROUPS: Final = Path("/proc/self/cgroup")
GROUPS: Final = Path("/sys/fs/cgroup")
STATUS: Final = Path("/proc/self/status")

_OF_PROCESS: Final = ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData"))
"""Limits of this process alone (`ulimit -v`, `ulimit -d`), and what counts towards them."""


class _Hierarchy(NamedTuple):
    """Where one version of control groups keeps its numbers."""

    root: Path
    limit: str
    used: str
    spare: str
    """The line of `memory.stat` that counts cached files which were not used for long."""


_VERSION_1: Final = _Hierarchy(Path("memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2: Final = _Hierarchy(Path(), "memory.max", "memory.current", "inactive_file")


def memory_limit(n_jobs: int) -> int:
    """Bytes for each of `n_jobs` runs at once. On a host, what is left now: ask before any of them has begun."""
    device = pick_device()
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory) // n_jobs
    return min(min([_left_on_host(), *_left_in_groups()]) // n_jobs, *_left_in_process())


def memory_left(device: torch.device, n_jobs: int) -> int:
    """Bytes that a run may take from now on, where `n_jobs` runs share the device."""
    if device.type == "cpu":
        return memory_limit(n_jobs)
    free, total = torch.cuda.mem_get_info(device)
    allowed = total * torch.cuda.get_per_process_memory_fraction(device) / n_jobs
    mine = torch.cuda.memory_allocated(device)
    return int(min(allowed - mine, free + torch.cuda.memory_reserved(device) - mine))


def _left_on_host() -> int:
    if MEMINFO.is_file() and (line := re.search(r"MemAvailable:\s*(\d+) kB", MEMINFO.read_text())):
        return int(line[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left_in_process() -> Iterator[int]:
    """What the limits of this process leave it; its children have the same limits, each for itself."""
    status = STATUS.read_text() if STATUS.is_file() else ""
    for limit, counted in _OF_PROCESS:
        most, _ = resource.getrlimit(limit)
        used = re.search(rf"{counted}:\s*(\d+) kB", status)
        yield most - int(used[1]) * 1024 if used and most != resource.RLIM_INFINITY else _left_on_host()


def _left_in_groups() -> Iterator[int]:
    """What every control group that this process is in allows it still; a group's parents limit it too."""
    for line in OWN_GROUPS.read_text().splitlines() if OWN_GROUPS.is_file() else ():
        _, controllers, path = line.split(":", 2)
        version = _VERSION_1 if controllers else _VERSION_2
        if not controllers or "memory" in controllers.split(","):
            group = Path(path.lstrip("/"))
            yield from (_left(GROUPS / version.root / limiting, version) for limiting in (group, *group.parents))


def _left(group: Path, version: _Hierarchy) -> int:
    """A group without a limit, or of which this process may not see the numbers, allows whatever the host has."""
    try:
        limit, used = int((group / version.limit).read_text()), int((group / version.used).read_text())
        spare = re.search(rf"^{version.spare} (\d+)$", (group / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):  # `max` is no number
        return _left_on_host()
    return limit - used + (int(spare[1]) if spare else 0)
