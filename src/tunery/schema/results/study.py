"""What a study says of its trials, its best and what it did at its end."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from tunery.schema.results.direction import Direction
from tunery.schema.results.record import Count, Record
from tunery.schema.results.run import Baseline
from tunery.schema.results.storage import Disk


class TrialRecord(Record):
    """One row of a study."""

    number: Count
    status: Literal["completed", "pruned", "failed", "running"]
    value: float | None
    loss: float | None = None
    """On validation; tells apart completed trials of the same value."""
    params: dict[str, Any]
    is_baseline: bool = False
    """Whether it is a simple model of `search.baselines`, which `params` names, and no point of the search space."""
    seconds: float
    epochs: float
    reason: str | None = None
    history: tuple[float | None, ...] = ()
    """Objective after each epoch."""
    beside: dict[str, float] = {}
    """Its metric or its cost, for each objective after the first."""
    notes: tuple[str, ...] = ()
    """What happened to it: continued by another process, fewer tokens in a pass after memory ran out."""


class BestTrial(Record):
    """The winner of a study."""

    number: Count
    value: float
    """The trial's own value on validation, or out of fold; see `rescored` for its mean over seeds."""
    value_after_choice: float | None = None
    """Of a cross-validated study: `value` less what it owes to having been chosen by it among the trials, estimated."""
    config: dict[str, Any]
    test: dict[str, Any]
    """Test metrics; the test split was read once, for this trial alone."""
    test_without_block: tuple[float | None, ...] = ()
    """As in the metrics of a run."""


class Importance(Record):
    """How much one parameter decides."""

    path: str
    share: float
    """Of all parameters together; they sum to 1."""
    trials: Count
    """Completed trials that have the parameter."""


class Rescored(Record):
    """A configuration that was trained again with other seeds."""

    number: Count
    """Its trial."""
    seeds: tuple[Count, ...]
    """Of the trial, then of the runs after it."""
    values: tuple[float, ...]
    """Objective on validation, seed by seed; a run that failed is left out of both."""
    mean: float


class EnsembleGain(Record):
    """What the best trials are worth together, on validation rows that chose nothing of it."""

    method: Literal["mean", "weighted", "vote", "soup"]
    trials: tuple[Count, ...]
    """The members; of a soup, those that stayed in it in either half."""
    value: float
    """Objective: chosen on one half of the rows and scored on the other, the mean of both ways."""
    single: float
    """The same for the best member alone."""
    gain: float
    """How much better the ensemble is; below 0: worse."""


class StudyResult(Record):
    """`study.json`."""

    name: str
    objective: str
    direction: Direction
    best: BestTrial | None
    trials: tuple[TrialRecord, ...]
    counts: dict[str, Count]
    """Trials per status, and `total`."""
    pruned_by_epoch: dict[Count, Count] = {}
    """How many trials were stopped after that many epochs."""
    seconds_saved: float | None = None
    """Estimated seconds that stopping early saved; null without a completed trial to estimate from."""
    objectives: tuple[str, ...] = ()
    """The objective, then the other metrics and the costs that count."""
    directions: tuple[Direction, ...] = ()
    """Which way each of `objectives` is better."""
    scales: dict[str, Literal["linear", "log", "category"]] = {}
    """By parameter: how its range was searched; `category` for a list of choices."""
    front: tuple[Count, ...] = ()
    """With several objectives, the trials that no other beats in one without losing in another."""
    rescored: tuple[Rescored, ...] = ()
    """Best mean first; the first one is the winner."""
    importance: dict[str, tuple[Importance, ...]] = {}
    """By evaluator, `ped_anova` and `fanova`, most important first."""
    ensembles: tuple[EnsembleGain, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    """Simple models on the same rows (`train.baselines`), and what the winner adds to each."""
    doubts: tuple[str, ...] = ()
    """What makes the winner's scores doubtful; reported before the winner."""
    notes: tuple[str, ...] = ()
    """What else the study has to say of itself: a space that was exhausted, members whose weights were gone."""
    disk: Disk
    seconds: float
    """Sum of the trials' seconds."""
    finished_at: datetime | None = None
    """When this was written, UTC."""

    @property
    def winner(self) -> int | None:
        """Number of the best trial, if there is one."""
        return self.best.number if self.best else None

    @property
    def is_cross_validated(self) -> bool:
        """Whether values of trials are of rows that folds held out, and not of validation."""
        return self.best is not None and self.best.config.get("data", {}).get("folds") is not None

    def to_pandas(self) -> Any:
        """A DataFrame with a row for each trial; parameters are columns `params.<path>`, as optuna calls them.

        Raises:
            ImportError: pandas is not installed.
        """
        from pandas import DataFrame

        shared = ("number", "status", "value", "seconds", "epochs", "is_baseline", "reason")
        return DataFrame(
            [
                {
                    **{name: getattr(trial, name) for name in shared},
                    **trial.beside,
                    **{f"params.{path}": value for path, value in trial.params.items()},
                }
                for trial in self.trials
            ]
        )

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield from (("name", self.name), ("objective", self.objective), ("counts", self.counts))
        yield from [("doubts", self.doubts)] if self.doubts else []
        if self.best is not None:
            test = self.best.test.get(self.objective)
            yield from (("best", self.best.number), ("validation", self.best.value), ("test", test))
        yield "seconds", round(self.seconds, 1)
