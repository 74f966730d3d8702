"""What a learning curve says, in sentences."""

from collections.abc import Iterator
from typing import Final

from tunery.errors import enumerated
from tunery.report.text.formatting import score
from tunery.schema.results.curve import LearningCurve

SHOWN: Final = 8
"""Labels that are named."""


def curve_sentences(found: LearningCurve) -> Iterator[str]:
    """Whether to label more, how sure that is, and for which labels."""
    now, twice, four = found.predictions
    if not found.rises:
        first, last = found.points[0], found.points[-1]
        yield (
            f"from {first.rows:,} to {last.rows:,} rows {found.objective} does not get better by more than chance: "
            "more rows of this kind are not seen to help, and what is predicted says nothing. Look at the labels "
            "first: tunery check CONFIG --deep"
        )
        return
    if not found.fits:
        yield (
            f"no power law goes through these scores: {found.objective} rises faster or slower than any, and what is "
            "predicted says nothing. Ask again with more rows"
        )
        return
    if twice.says_something:
        yield (
            f"twice the rows: {found.objective} from {score(now.score)} to {score(twice.score)} "
            f"({score(twice.low)} to {score(twice.high)})"
        )
    if four.says_something:
        yield f"four times the rows: {score(four.score)} ({score(four.low)} to {score(four.high)})"
    if not (twice.says_something and four.says_something):
        which = "four times" if twice.says_something else "twice and four times"
        yield f"of {which} the rows the fit says nothing: the interval is more than twice the gain that was measured"
    if found.gains:
        named = [f"{one.label} +{100 * one.gain:.1f}" for one in found.gains]
        yield f"F1 points that labels gain by twice the rows, where that is certain: {enumerated(named, SHOWN)}"
    if found.method in ("probe", "tfidf"):
        yield "a fine-tuned model has another curve: tunery curve CONFIG --train measures it"
    yield "which rows help most is told by tunery predict --rank"
