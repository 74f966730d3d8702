"""What a comparison says of its cells and methods."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from tunery.schema.results.direction import Direction
from tunery.schema.results.record import Count, Record
from tunery.schema.results.run import Environment, Memory, Parameters, RunResult
from tunery.schema.results.storage import Disk


class Cell(Record):
    """One method trained with one seed."""

    method: str
    """Name of the method as it was asked for."""
    seed: Count
    status: Literal["completed", "failed"]
    value: float | None
    """Objective on test; of cross-validation, out of fold."""
    folder: str
    """Where its records are, within the comparison."""
    reason: str | None = None
    """Why it failed."""
    result: RunResult | None
    """The run's own record; null where it failed before it could write one."""

    @property
    def is_doubtful(self) -> bool:
        """Whether it has completed and its record has notes: what makes its scores doubtful."""
        return self.status == "completed" and self.result is not None and bool(self.result.notes)


class MethodSummary(Record):
    """One method over its seeds. Costs are means over the seeds."""

    method: str
    seeds: Count
    """Completed cells."""
    failed: Count = 0
    mean: float | None
    """Mean objective on test; of cross-validation, out of fold."""
    low: float | None
    """Lower end of the 95 % bootstrap interval of the mean, over seeds and test rows; of cross-validation, over rows
    and folds."""
    high: float | None
    """Upper end of that interval."""
    validation: float | None
    """Mean objective on validation, which chose the best epoch of every cell."""
    difference: float | None = None
    """Mean difference to the baseline, over the seeds that both have; of cross-validation, over the folds of these;
    null for the baseline."""
    difference_low: float | None = None
    """Lower end of the 95 % interval of the difference."""
    difference_high: float | None = None
    """Upper end of that interval."""
    p_value: float | None = None
    """Two-sided paired test against the baseline; of cross-validation, the corrected resampled t test over folds. Null
    for the baseline, or with fewer than two seeds in common and no folds."""
    folds: Count = 0
    """Folds that were compared."""
    significant: bool | None = None
    """Whether the difference holds at 5 % after Holm's correction for the number of methods; null without a test."""
    parameters: Parameters | None
    seconds: float | None
    """Wall-clock seconds of training, validation left out."""
    total_seconds: float | None
    """Wall-clock seconds of the whole run."""
    tokens_per_second: float | None
    """Training tokens of the texts per second of training, padding left out."""
    memory: Memory | None
    """Peak memory of the training process."""
    disk_bytes: float | None
    """Bytes of the exported model."""
    on_pareto_front: bool = False
    """Whether no other method has both a better mean and fewer training seconds."""


class ComparisonResult(Record):
    """`comparison.json`."""

    name: str
    objective: str
    direction: Direction
    baseline: str
    seeds: tuple[Count, ...]
    methods: tuple[MethodSummary, ...]
    """In the order they were asked for."""
    cells: tuple[Cell, ...]
    verdicts: tuple[str, ...]
    """What the numbers say and do not say, in words."""
    best: Cell | None
    """The cell whose model is kept in `best/`: the best on validation."""
    disk: Disk
    seconds: float
    """Sum of the cells' seconds, and of each pretraining that they share once."""
    environment: Environment | None = None
    """Where the cells ran; null where none completed."""
    finished_at: datetime | None = None
    """When this was written, UTC."""

    @property
    def is_cross_validated(self) -> bool:
        """Whether scores are of the rows that folds held out."""
        return any(method.folds for method in self.methods)

    @property
    def where(self) -> str:
        """Where scores are taken, in words."""
        return "out of fold" if self.is_cross_validated else "on test"

    def to_pandas(self) -> Any:
        """A DataFrame with a row for each method: means over seeds, intervals, tests and costs.

        Raises:
            ImportError: pandas is not installed.
        """
        from pandas import DataFrame

        costs = {
            method.method: {
                "trainable": method.parameters.trainable if method.parameters else None,
                "memory": method.memory.peak if method.memory else None,
            }
            for method in self.methods
        }
        plain = [method.model_dump(exclude={"parameters", "memory"}) for method in self.methods]
        return DataFrame([{**row, **costs[row["method"]]} for row in plain])

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield from (("name", self.name), ("objective", self.objective), ("seeds", self.seeds))
        yield "methods", {method.method: method.mean for method in self.methods}
        yield "verdicts", self.verdicts
