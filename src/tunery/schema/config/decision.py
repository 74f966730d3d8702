"""How labels are decided once a model is trained: calibration, thresholds, what errors cost."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tunery.schema.spec import OfLabels, Probability, Spec, Wording

CalibrationMethod = Literal["none", "temperature", "vector"]
"""How probabilities are made to be as often right as they say (Guo et al. 2017, arXiv 1706.04599, section 4.2)."""

Cost = Annotated[float, Field(ge=0, le=1_000_000_000)]
"""In any unit, the same for all."""
_ErrorCost = Annotated[float, Field(gt=0, le=1_000_000_000)]
_OneOrByLabel = Annotated[Probability | OfLabels[Probability], Wording("a number > 0 and < 1, or a mapping of labels")]


class PerLabelThreshold(Spec):
    """Each label has the threshold with the highest F1 on validation; one with fewer than 25 rows there has that by
    which it is given as often as it is true, shrunk to what such labels share."""

    earlier_name: ClassVar[str] = "tuned"
    method: Literal["per_label"] = "per_label"


class GlobalThreshold(Spec):
    """All labels share one: that with the highest F1 of all decisions on validation together."""

    method: Literal["global"] = "global"


class FixedThreshold(Spec):
    """Numbers that are given, and not found. `task.threshold: 0.3` is short for one of all labels."""

    number_key: ClassVar[str] = "value"
    method: Literal["fixed"] = "fixed"
    value: _OneOrByLabel
    """Of all labels, or of each: `{joy: 0.3, anger: 0.5}`."""


class AtLeastThreshold(Spec):
    """Of the thresholds that reach a precision on validation, the one with the highest recall; or the other way
    round. Labels that none of both keys names are decided as by `per_label`."""

    method: Literal["at_least"] = "at_least"
    precision: _OneOrByLabel | None = None
    """Of all labels, or of those that are named: `{joy: 0.9}`. Where no threshold reaches it, a label is not given."""
    recall: _OneOrByLabel | None = None
    """The same; the highest precision is then taken."""


Threshold = Annotated[
    PerLabelThreshold | GlobalThreshold | FixedThreshold | AtLeastThreshold, Field(discriminator="method")
]


class Costs(Spec):
    """What errors cost, in any unit. A label is then given where that costs less, as its probability says: from
    wrong / (wrong + missed) on (Elkan 2001, "The foundations of cost-sensitive learning", section 2)."""

    missed: Annotated[_ErrorCost | OfLabels[_ErrorCost], Wording("a number > 0, or a mapping of labels")]
    """A label that is true and not given: for all labels, or for each."""
    wrong: Annotated[_ErrorCost | OfLabels[_ErrorCost], Wording("a number > 0, or a mapping of labels")]
    """A label that is given and not true."""


CostMatrix = Annotated[OfLabels[OfLabels[Cost]], Wording("a mapping of labels to mappings of labels to numbers >= 0")]
"""True label -> label that is told -> cost."""


def by_label(value: float | Mapping[str, float] | None) -> Mapping[str, float]:
    """The labels that are named; none where one number is for all, or there is nothing."""
    return value if isinstance(value, Mapping) else {}
