"""What every tracker does. `train` calls it; a tracker must not change what it is given, nor stop a run."""

from abc import ABC, abstractmethod
from collections.abc import Mapping


class Tracker(ABC):
    """Receives every metric of a run once."""

    @abstractmethod
    def start(self, step: int) -> None:
        """Begin, or go on after `step`: whatever was logged beyond that step will come again."""

    @abstractmethod
    def log(self, step: int, epoch: float, values: Mapping[str, float | None]) -> None:
        """Take the values of one step."""

    @abstractmethod
    def finish(self) -> None:
        """The run is over."""
