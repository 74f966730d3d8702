"""A model that answers only where it is sure enough, and what to expect of that."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tunery.errors import RequestError
from tunery.schema.results.prediction import Prediction
from tunery.tasks.task import State, Task


class Expected(NamedTuple):
    """What to expect of a model that abstains below a confidence, by validation rows that nothing was fitted to."""

    abstained: float
    """Share of rows that it does not answer."""
    accuracy: float | None
    """Share of the others whose labels are all right; None where there were no others."""


def require_confidence(task: Task, below: float) -> None:
    """See that a model can abstain below a confidence.

    Raises:
        RequestError: it gives no labels, or this is no probability.
    """
    if "abstention" not in task.state_keys:
        raise RequestError("a model abstains from labels, but this one gives none; leave abstain_below out")
    if not 0 <= below <= 1:
        raise RequestError(f"a confidence is a probability from 0 to 1, but got abstain_below={below}")


def abstaining(predictions: Iterable[Prediction], below: float) -> list[Prediction]:
    """The same, without labels and evidence where the confidence is below that; probabilities stay."""
    without = {"label": None, "labels": (), "evidence": (), "abstained": True}
    return [
        prediction.model_copy(update=without) if (prediction.confidence or 0.0) < below else prediction
        for prediction in predictions
    ]


def expected(state: State | None, below: float) -> Expected | None:
    """What was recorded when the model was told how to decide; None where an earlier version did that.

    Shares are those at the next of up to 50 confidences that were recorded, so to about two hundredths.
    """
    curve = (state or {}).get("abstention")
    if curve is None:
        return None
    row = next((row for row in curve if row[0] >= below), None)
    return Expected(1.0, None) if row is None else Expected(row[1], row[2])


def expectation_sentence(told: Expected | None, below: float) -> str:
    """What to say before."""
    rule = f"rows with a confidence below {below:g} are left without an answer"
    if told is None:
        return f"{rule}; how many is known for the decisions that `tunery threshold` records, and not for these"
    right = "" if told.accuracy is None else f", and {told.accuracy:.1%} of the others were right in all labels"
    return f"{rule}: on validation these were {told.abstained:.1%}{right}"


def count_sentence(predictions: Sequence[Prediction]) -> str:
    """What to say afterwards."""
    count = sum(prediction.abstained for prediction in predictions)
    share = f" ({count / len(predictions):.1%})" if predictions else ""
    return f"{count:,} of {len(predictions):,} rows{share} were left without an answer"
