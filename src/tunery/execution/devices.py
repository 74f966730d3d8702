"""Which GPU a run gets, where one machine has several. Imports nothing heavy."""

import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final, final

from tunery.errors import RequestError
from tunery.schema.config.search import Search

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
"""Environment variable with the names of the devices that a process may see."""
DRIVER: Final = Path("/proc/driver/nvidia/gpus")
"""Where the driver has a folder for each device."""


def visible_devices() -> tuple[str, ...]:
    """The devices that this process may see, by the names that `CUDA_VISIBLE_DEVICES` has for them; none with a torch
    that is built for CPUs alone."""
    if version("torch").endswith("+cpu"):
        return ()
    if (named := os.environ.get(VISIBLE)) is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip())
    count = sum(1 for _ in DRIVER.iterdir()) if DRIVER.is_dir() else 0
    return tuple(map(str, range(count)))


def shared_devices(search: Search, visible: Sequence[str]) -> tuple[int, ...] | None:
    """The devices that the trials of a study are shared out over, by their places among those that are visible; None
    where there is no choice.

    Raises:
        RequestError: the config names one that is not there.
    """
    if search.devices is None:
        return tuple(range(len(visible))) if len(visible) > 1 else None
    missing = [device for device in search.devices if device >= len(visible)]
    if missing:
        raise RequestError(
            f"search.devices must be GPUs that this process may see, counted from 0, but got {missing[0]} and there "
            f"{'is' if len(visible) == 1 else 'are'} {len(visible)}; remove it, or set {VISIBLE}"
        )
    return search.devices


@final
class Devices:
    """Gives each run the device that has the fewest. Any thread may ask."""

    def __init__(self, search: Search, visible: Sequence[str]) -> None:
        self._names = [visible[device] for device in search.devices or ()]
        self._lock = threading.Lock()
        self._runs = Counter(dict.fromkeys(self._names, 0))

    @contextmanager
    def one(self) -> Iterator[str | None]:
        """The name of a device for as long as a run takes; None: the run sees all that there are."""
        if not self._names:
            yield None
            return
        with self._lock:
            name = min(self._names, key=lambda device: self._runs[device])
            self._runs[name] += 1
        try:
            yield name
        finally:
            with self._lock:
                self._runs[name] -= 1


def environment_of(device: str | None) -> dict[str, str]:
    """What the environment of a process has beside others', so that it sees this device alone; None: nothing."""
    return {} if device is None else {VISIBLE: device}
