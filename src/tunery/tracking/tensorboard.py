"""TensorBoard event files; a resumed run purges the steps that come again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from tunery.errors import MissingExtra
from tunery.tracking.tracker import Tracker


@final
class TensorBoardTracker(Tracker):
    """Writes scalars below `<run>/tensorboard`."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtra("tensorboard", extra="tensorboard") from error
        self._writer_class = SummaryWriter
        self._folder = folder / "tensorboard"
        self._writer: Any = None

    def start(self, step: int) -> None:
        """Open the event file; TensorBoard drops what it has of later steps."""
        self._writer = self._writer_class(str(self._folder), purge_step=step + 1)

    def log(self, step: int, epoch: float, values: Mapping[str, float | None]) -> None:
        """Add one scalar per value."""
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(name, value, step)

    def finish(self) -> None:
        """Flush and close."""
        self._writer.close()
