"""What stays of a study: a rule over plain values, which touches no disk.

Where disk space runs short, weights are evicted in levels; each keeps a part of what the one before it keeps:

0. As configured. An unfinished run keeps its `keep_last` newest resume points, its best epoch and the epochs that tie
   with it, `co_best` in all. The `keep_best` best trials keep their best epoch, and so do those that tie with the very
   best, `co_best` in all; until the study ends, so do its `candidates`, where they are more. A finished run with an
   export of its own keeps the ties only. All others keep nothing. Rungs (`keep_after`) stay where the best epoch does.
   A run that another process trains is left alone until level 2.
1. No candidates.
2. No spare: of the resume points, the newest.
3. One per trial: no ties of the best epoch.
4. One per study: no finished trial but the best.

So the best of the study, and what an unfinished run goes on from, stay at any level.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from tunery.schema.config.checkpoint import Checkpoint
from tunery.schema.results.direction import Direction
from tunery.schema.results.ranking import ranking_key
from tunery.schema.results.record import Status
from tunery.schema.results.run import CheckpointRecord


class Level(IntEnum):
    """Eviction levels: the higher, the less is kept."""

    CONFIGURED = 0
    NO_CANDIDATES = 1
    NO_SPARE = 2
    ONE_PER_TRIAL = 3
    ONE_PER_STUDY = 4


@dataclass(frozen=True)
class RunState:
    """What the rule must know of one run."""

    status: Status | Literal["running"]
    value: float | None
    """The objective of a finished run."""
    loss: float | None
    """The same run's loss on validation."""
    kept: tuple[CheckpointRecord, ...]
    """The epochs whose weights are there."""
    points: tuple[int, ...]
    """Steps of its whole resume points."""
    exported: bool = False
    """Whether its best epoch is there a second time, as an export of its own."""
    elsewhere: bool = False
    """Whether an unfinished run is another process's, which drops by itself what it no longer uses."""


@dataclass(frozen=True)
class Keep:
    """What one run keeps."""

    records: tuple[CheckpointRecord, ...] = ()
    points: tuple[int, ...] = ()
    """Newest first."""


def retained(
    runs: Sequence[RunState], rule: Checkpoint, *, candidates: int, direction: Direction, level: Level
) -> list[Keep]:
    """What every run of a study keeps; `runs` are in the order of their numbers, which decides between equal trials.

    Runs that hold nothing may be left out: a trial that has lost its weights was beaten by those that have them.
    """
    trials = {index: run for index, run in enumerate(runs) if run.status == "completed" and not run.exported}
    most = max(rule.keep_best, candidates) if level < Level.NO_CANDIDATES else rule.keep_best
    chosen = _best_trials(trials, most=most, ties=rule.co_best, direction=direction, level=level)
    return [_keep(run, rule, chosen=index in chosen, level=level) for index, run in enumerate(runs)]


def _keep(run: RunState, rule: Checkpoint, *, chosen: bool, level: Level) -> Keep:
    rungs = tuple(record for record in run.kept if record.kind == "rung")
    others = [record for record in run.kept if record.kind != "rung"]
    best_first = sorted(others, key=lambda record: (record.kind != "best", record.step))
    epochs = tuple(best_first[: rule.co_best if level < Level.ONE_PER_TRIAL else 1])
    if run.status == "running" and run.elsewhere and level < Level.NO_SPARE:
        return Keep(run.kept, run.points)
    if run.status == "running":
        newest = sorted(run.points, reverse=True)
        # `keep_last: 0` writes none, but one that an earlier call has written is what the run goes on from
        points = newest[: max(1, rule.keep_last) if level < Level.NO_SPARE else 1]
        return Keep((*epochs, *rungs), tuple(points))
    if run.exported:
        return Keep((*(record for record in epochs if record.kind == "co_best"), *rungs))
    return Keep(tuple(record for record in run.kept if chosen and record.kind != "co_best"))


def _best_trials(
    trials: dict[int, RunState], *, most: int, ties: int, direction: Direction, level: Level
) -> frozenset[int]:
    keys = {
        index: ranking_key(run.value, run.loss, index, direction=direction)
        for index, run in trials.items()
        if run.value is not None
    }
    order = sorted(keys, key=keys.__getitem__)
    if level >= Level.ONE_PER_STUDY:
        return frozenset(order[:1])
    tied = [index for index in order if trials[index].value == trials[order[0]].value]
    return frozenset([*order[:most], *tied[:ties]])
