"""What a run or the winner of a study adds to simple models on the same rows, in sentences for the terminal."""

from collections.abc import Iterator, Sequence

from tunery.report.text.formatting import duration, metric_name, score, signed
from tunery.schema.results.run import Baseline


def baseline_sentences(
    baselines: Sequence[Baseline], objective: str, *, subject: str, seconds: float | None = None
) -> Iterator[str]:
    """One for each baseline that has a value.

    Args:
        subject: who is compared: `this run`.
        seconds: that the subject took to fit and score, where it is told.
    """
    for baseline in baselines:
        if (gain := baseline.gain) is None:
            continue
        metrics = getattr(baseline.metrics, gain.split) or {}
        where = "out of fold" if gain.split == "oof" else f"on {gain.split}"
        reached = f"{metric_name(objective)} {score(metrics.get(objective))} {where}"
        interval = "" if gain.low is None else f" [{signed(gain.low)}, {signed(gain.high)}]"
        adds = "gives the same answers" if gain.is_none else f"adds {signed(gain.difference)}{interval}"
        more = 0.0 if seconds is None else seconds - baseline.seconds
        price = f" for {duration(more)} more" if more > 0 else ""
        some = "" if baseline.train_rows is None else f" (fitted to {baseline.train_rows:,} training rows)"
        took = duration(baseline.seconds)
        yield f"{baseline.method}{some}: {reached} in {took}; {subject} {adds}{price}"
