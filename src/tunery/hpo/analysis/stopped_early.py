"""What pruning did: after how many epochs trials were stopped, and how many seconds that saved."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from tunery.schema.results.study import TrialRecord


def pruned_by_epoch(trials: Sequence[TrialRecord]) -> dict[int, int]:
    """How many trials were pruned after so many epochs; an epoch that was begun counts."""
    stopped = [math.ceil(round(trial.epochs, 6)) for trial in trials if trial.status == "pruned"]
    return dict(sorted(Counter(stopped).items()))


def seconds_saved(trials: Sequence[TrialRecord], *, epochs: float) -> float | None:
    """An estimate of the seconds that pruning saved; None without a completed trial to compare with.

    A stopped trial would have run as much of its planned epochs as completed trials ran of theirs, each epoch taking as
    long as its own epochs took. `epochs` is the plan of a trial that does not choose `train.epochs` itself.
    """
    completed = [trial for trial in trials if trial.status == "completed" and not trial.is_baseline]
    if not completed:
        return None
    usual = fmean(min(1.0, trial.epochs / _planned(trial, epochs)) for trial in completed)
    pruned = [trial for trial in trials if trial.status == "pruned" and trial.epochs > 0]
    return math.fsum(
        trial.seconds / trial.epochs * max(0.0, usual * _planned(trial, epochs) - trial.epochs) for trial in pruned
    )


def _planned(trial: TrialRecord, epochs: float) -> float:
    return float(trial.params.get("train.epochs", epochs))
