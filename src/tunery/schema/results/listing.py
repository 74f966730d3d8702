"""What `tunery ls` and `tunery diff` say of folders."""

from datetime import datetime
from typing import Any, Literal

from tunery.schema.results.direction import Direction
from tunery.schema.results.record import Count, Record

WorkKind = Literal["run", "study", "comparison", "learning curve", "ensemble", "model"]
WorkStatus = Literal["finished", "failed", "unfinished", "running"]


class Listed(Record):
    """One folder of tunery's: what it holds, how good that is, and what it cost."""

    path: str
    kind: WorkKind
    name: str
    """As the config calls it."""
    status: WorkStatus
    """`running` while a process holds the folder; `unfinished` goes on with the same command."""
    objective: str | None = None
    direction: Direction | None = None
    value: float | None = None
    """Objective on validation, or out of fold; of a study that of its winner, of a comparison that of the best cell."""
    test: float | None = None
    method: str | None = None
    """`peft.method`: of a study or comparison that of the winner."""
    model: str | None = None
    runs: Count = 1
    """Trials or cells that have ended; of a run 1."""
    seconds: float | None = None
    """Of the work, waiting left out."""
    bytes: Count
    """On disk."""
    finished_at: datetime | None = None


class ConfigDifference(Record):
    """A key that two configs do not have in common; null: that one has no such key."""

    path: str
    left: Any = None
    right: Any = None


class ScoreDifference(Record):
    """A score of two models."""

    split: Literal["validation", "oof", "test"]
    metric: str
    left: float | None
    right: float | None


class Difference(Record):
    """What two folders have not in common: config beside scores. Of a study or comparison it is its winner."""

    left: Listed
    right: Listed
    config: tuple[ConfigDifference, ...]
    scores: tuple[ScoreDifference, ...]
    """Metrics that both have, the objective first; those that are equal too."""
    same_rows: dict[str, bool]
    """Of each split: whether both had the same rows. Scores of other rows do not compare."""
