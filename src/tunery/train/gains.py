"""What a run adds to simple models on the same rows, and whether it adds anything."""

from collections.abc import Iterator, Sequence
from typing import Final

from tunery.schema import RunConfig
from tunery.schema.results.direction import is_better
from tunery.schema.results.run import Baseline, Gain, Metrics
from tunery.statistics import Score, difference_interval

_PLACES: Final = {
    "validation": ("validation", "on validation"),
    "test": ("test", "on test"),
    "oof": ("out of fold", "out of fold"),
}
"""Rows that are scored, before a metric and after it."""


def with_gains(baselines: Sequence[Baseline], metrics: Metrics, *, objective: str) -> tuple[Baseline, ...]:
    """The same, with what a run adds to each: out of fold where that is known, else on test, else on validation."""
    return tuple(
        baseline.model_copy(update={"gain": _gain(metrics, baseline.metrics, objective)}) for baseline in baselines
    )


def _gain(run: Metrics, baseline: Metrics, objective: str) -> Gain | None:
    known = (name for name in ("oof", "test") if getattr(run, name) is not None and getattr(baseline, name) is not None)
    split = next(known, "validation")
    ours, theirs = (getattr(metrics, split).get(objective) for metrics in (run, baseline))
    if ours is None or theirs is None:
        return None
    interval = None
    if split != "validation":
        blocks = f"{split}_without_block"
        interval = difference_interval(Score(ours, getattr(run, blocks)), Score(theirs, getattr(baseline, blocks)))
    low, high = interval or (None, None)
    return Gain.model_validate({"split": split, "difference": ours - theirs, "low": low, "high": high})


def baseline_notes(baselines: Sequence[Baseline], metrics: Metrics, config: RunConfig) -> Iterator[str]:
    """A sentence for each simple model that does as well: the most frequent labels within the interval of the
    difference, any other by its value on validation."""
    name, direction = config.objective, config.direction
    for baseline in baselines:
        is_of_folds = metrics.oof is not None and baseline.metrics.oof is not None
        chosen_by = "oof" if is_of_folds else "validation"
        gain, ours, theirs = (
            baseline.gain,
            *(getattr(each, chosen_by).get(name) for each in (metrics, baseline.metrics)),
        )
        if gain is None or ours is None or theirs is None:
            continue
        if baseline.method == "majority":
            certain = gain.low is None or gain.high is None or not gain.low <= 0 <= gain.high
            if not (certain and is_better(gain.difference, 0.0, direction=direction)):
                interval = "" if gain.low is None else f" [{gain.low:+.3f}, {gain.high:+.3f}]"
                adds = f"{_PLACES[gain.split][0]} {name} {gain.difference:+.3f}{interval}"
                adds = f"the same answers {_PLACES[gain.split][1]}" if gain.is_none else adds
                yield f"not surely better than one answer for all rows (peft=majority): {adds}"
        elif is_better(theirs, ours, direction=direction):
            if config.task.reads_evidence:
                method, remedy = f"{baseline.method}, which finds no evidence,", "more epochs may help this run"
            else:
                method, remedy = f"peft={baseline.method}", "`tunery train` takes it as an override"
            reached = f"{name} {theirs:.3f} in {baseline.seconds:.0f} s, against {ours:.3f}"
            yield f"{method} is better {_PLACES[chosen_by][1]}: {reached}; {remedy}"
