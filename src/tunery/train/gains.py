"""What a run adds to simple models on the same rows, and whether it adds anything."""

from collections.abc import Iterator, Sequence

from tunery.schema import RunConfig
from tunery.schema.results.direction import is_better
from tunery.schema.results.run import Baseline, Gain, Metrics
from tunery.statistics import Score, difference_interval


def with_gains(baselines: Sequence[Baseline], metrics: Metrics, *, objective: str) -> tuple[Baseline, ...]:
    """The same, with what a run adds to each: on test where that is known, else on validation."""
    return tuple(
        baseline.model_copy(update={"gain": _gain(metrics, baseline.metrics, objective)}) for baseline in baselines
    )


def _gain(run: Metrics, baseline: Metrics, objective: str) -> Gain | None:
    split = "validation" if run.test is None or baseline.test is None else "test"
    ours, theirs = (getattr(metrics, split).get(objective) for metrics in (run, baseline))
    if ours is None or theirs is None:
        return None
    interval = None
    if split == "test":
        interval = difference_interval(Score(ours, run.test_without_block), Score(theirs, baseline.test_without_block))
    low, high = interval or (None, None)
    return Gain(split=split, difference=ours - theirs, low=low, high=high)


def baseline_notes(baselines: Sequence[Baseline], metrics: Metrics, config: RunConfig) -> Iterator[str]:
    """A sentence for each simple model that does as well: the most frequent labels within the interval of the
    difference, any other by its value on validation."""
    name, direction = config.objective, config.direction
    for baseline in baselines:
        gain, ours, theirs = baseline.gain, metrics.validation.get(name), baseline.metrics.validation.get(name)
        if gain is None or ours is None or theirs is None:
            continue
        if baseline.method == "majority":
            certain = gain.low is None or gain.high is None or not gain.low <= 0 <= gain.high
            if not (certain and is_better(gain.difference, 0.0, direction=direction)):
                interval = "" if gain.low is None else f" [{gain.low:+.3f}, {gain.high:+.3f}]"
                adds = f"{gain.split} {name} {gain.difference:+.3f}{interval}"
                adds = f"the same answers on {gain.split}" if gain.is_none else adds
                yield f"not surely better than one answer for all rows (peft=majority): {adds}"
        elif is_better(theirs, ours, direction=direction):
            if config.task.reads_evidence:
                method, remedy = f"{baseline.method}, which finds no evidence,", "more epochs may help this run"
            else:
                method, remedy = f"peft={baseline.method}", "`tunery train` takes it as an override"
            reached = f"{name} {theirs:.3f} in {baseline.seconds:.0f} s, against {ours:.3f}"
            yield f"{method} is better on validation: {reached}; {remedy}"
