"""The seam between a study or a comparison and where its runs are trained: in forked processes, in interpreters of
their own, in this process, or as Ray tasks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from tunery.schema import RunConfig
from tunery.schema.results.run import DataRecord, Progress


@dataclass(frozen=True)
class Job:
    """One run that is wanted, trained from its resume point where it has one."""

    config: RunConfig
    folder: Path
    study: Path | None
    """Root of the study whose objects it shares; None: it is no trial, and keeps its own model and page."""
    title: str
    """What progress calls it: `trial 3`."""
    alone: bool = True
    """Whether no other runs beside it, so that it may draw a bar on the terminal."""
    trust_remote_code: bool = False
    """Whether the call that wants the run permits code that comes with the model."""
    comparison: Path | None = None
    """Root of the comparison that it is a cell of; None: of none."""
    folds: Path | None = None
    """Folder of a cross-validated run of the same config, whose folds are taken and not trained anew."""
    data: DataRecord | None = None
    """The rows that it must see; None: those that the study's folder remembers, if any."""
    device: str | None = None
    """The GPU that it may see alone, by its name in `CUDA_VISIBLE_DEVICES`; None: whatever this process may see."""

    @property
    def stall_timeout(self) -> float | None:
        """Seconds without progress after which it is ended; None waits for ever, and so does all that is no trial."""
        return self.config.search.stall_timeout if self.study is not None else None

    def share_of(self, threads: int) -> int:
        """How many threads it computes with, of those that it would have if nothing ran beside it."""
        return threads if self.alone else max(1, threads // self.config.search.jobs)


@dataclass(frozen=True)
class Epoch:
    """An epoch was scored; of cross-validation an epoch of the first fold, or a fold."""

    number: int
    """Counted from 1."""
    value: float | None
    """The objective; of a fold, on the rows that were held out from it."""
    progress: Progress
    """What the run has cost so far."""
    further: Mapping[str, float | None] = field(default_factory=dict)
    """The other metrics among the objectives."""
    is_fold: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: Literal["completed", "pruned", "out_of_memory", "failed", "refused", "stopped", "interrupted"]
    """`completed`: `result.json` is there. `refused`: config, data, model or folder were wrong. `stopped`: by the disk,
    and goes on once there is room. `interrupted`: a resume point was saved."""
    reason: str | None = None


Prune = Callable[[Epoch], str | None]
"""Called after an epoch, and after a fold: why the run is pruned; None: it goes on."""

Stop = Callable[[], str | None]
"""Called now and then: what asks a run to save and leave, such as a signal; None: nothing."""


class Runner(Protocol):
    """Trains runs, one at a time for each thread that calls it."""

    def warm_up(self, config: RunConfig, *, trust_remote_code: bool = False) -> None:
        """Begin to get ready for runs like this one, while the caller does something else; many have nothing to do."""
        return

    def run(self, job: Job, *, prune: Prune, stop: Stop) -> Outcome:
        """Train one run. Whatever happens to it is in the outcome; nothing is raised for it."""

    def close(self) -> None:
        """End what serves the runs."""
