"""What stopping early did: how many trials, after how many epochs, and how much time it saved."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from tunery.schema.results.study import StudyResult, TrialRecord

EARLY_EPOCHS = 5
"""Epochs up to which a stop counts as early in the summary."""

MOST_BARS = 120
"""Up to so many trials each have a bar of their own."""

_COLUMNS, _ROWS = 60, 20
"""Of the drawing that replaces more bars, at most."""


class Pruning(NamedTuple):
    """What stopping early did."""

    stopped: int
    ended: int
    """Trials that are no longer running."""
    early: int
    """Stopped after at most `early_epoch` epochs."""
    early_epoch: int
    """`EARLY_EPOCHS`, or the last epoch after which a trial was stopped."""
    by_epoch: tuple["Stopped", ...]
    seconds_saved: float | None
    """Estimate; None without a completed trial to estimate from."""


class Stopped(NamedTuple):
    """Trials that were stopped after so many epochs."""

    epoch: int
    here: int
    so_far: int
    """Here or earlier."""


class Bar(NamedTuple):
    """How far one trial came."""

    number: int
    epochs: float
    status: str


class Block(NamedTuple):
    """Consecutive trials, some consecutive epochs, and the share of these trials that came to the end of these epochs.

    Ends do not belong to it.
    """

    first: int
    end: int
    epoch: int
    epoch_end: int
    share: float


class Reach(NamedTuple):
    """How far every trial came: as bars, or as blocks where there would be too many."""

    bars: tuple[Bar, ...]
    blocks: tuple[Block, ...]


def pruning(study: StudyResult) -> Pruning:
    """The study's own numbers, added up epoch by epoch."""
    counts = sorted(study.pruned_by_epoch.items())
    sums = accumulate(count for _, count in counts)
    by_epoch = tuple(Stopped(epoch, here, so_far) for (epoch, here), so_far in zip(counts, sums, strict=True))
    return Pruning(
        stopped=sum(trial.status == "pruned" for trial in study.trials),
        ended=sum(trial.status != "running" for trial in study.trials),
        early=sum(row.here for row in by_epoch if row.epoch <= EARLY_EPOCHS),
        early_epoch=min([EARLY_EPOCHS, *(row.epoch for row in by_epoch[-1:])]),
        by_epoch=by_epoch,
        seconds_saved=study.seconds_saved,
    )


def reach(study: StudyResult) -> Reach | None:
    """How far every trial came, in the order they were started; None where none ran."""
    trials = sorted(study.trials, key=lambda trial: trial.number)
    if not any(trial.epochs > 0 for trial in trials):
        return None
    if len(trials) <= MOST_BARS:
        return Reach(tuple(Bar(trial.number, trial.epochs, trial.status) for trial in trials), ())
    longest = math.ceil(max(trial.epochs for trial in trials))
    columns, rows = _edges(len(trials), _COLUMNS), _edges(longest, _ROWS)
    return Reach((), tuple(block for start, end in columns for block in _blocks(trials[start:end], rows)))


def _edges(count: int, most: int) -> list[tuple[int, int]]:
    """`range(count)` in at most `most` stretches of equal length, the last one may be shorter."""
    step = math.ceil(count / most)
    return [(start, min(count, start + step)) for start in range(0, count, step)]


def _blocks(trials: Sequence[TrialRecord], rows: Sequence[tuple[int, int]]) -> list[Block]:
    first, end = trials[0].number, trials[-1].number + 1
    shares = [sum(round(trial.epochs, 6) >= row_end for trial in trials) / len(trials) for _, row_end in rows]
    return [Block(first, end, start, stop, share) for (start, stop), share in zip(rows, shares, strict=True)]
