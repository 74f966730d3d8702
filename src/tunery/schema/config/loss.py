"""What training minimises."""

from typing import Annotated, Literal

from pydantic import Field

from tunery.schema.spec import Choices, Range, Spec

Gamma = Annotated[float, Field(ge=0, le=100), Range(1.0, 5.0)]


class CrossEntropy(Spec):
    """Softmax cross-entropy, for single-label tasks."""

    name: Literal["ce"] = "ce"
    class_weights: Annotated[Literal["balanced"] | None, Choices((None, "balanced"))] = None
    """`balanced` weighs each label by how rare it is among the training rows; the mean weight of a row is 1."""


class Bce(Spec):
    """Sigmoid cross-entropy, the mean over the labels; in single-label tasks, each label against the rest."""

    name: Literal["bce"] = "bce"


class WeightedBce(Spec):
    """`bce` in which a label that is given weighs as much as all the rows in which it is not: negatives divided by
    positives, counted in the training rows."""

    name: Literal["weighted_bce"] = "weighted_bce"
    max_weight: Annotated[float, Field(ge=1, le=1_000_000_000)] = 100.0
    """Largest weight, for labels that hardly occur."""


class Focal(Spec):
    """Cross-entropy with rows that are already right played down, by (1 - p)^gamma
    (Lin et al. 2017, arXiv 1708.02002, equation 4)."""

    name: Literal["focal"] = "focal"
    gamma: Gamma = 2.0
    """How strongly; 0 is plain cross-entropy."""


class AdaptiveFocal(Spec):
    """`focal` whose gamma is trained with the model, within bounds. The loss falls as gamma rises, so it tends to the
    upper bound, the faster the higher `optim.head_lr`."""

    name: Literal["adaptive_focal"] = "adaptive_focal"
    gamma: Gamma = 2.0
    """Where gamma starts."""
    gamma_min: Annotated[float, Field(ge=0, le=100)] = 1.0
    """Lower bound of gamma."""
    gamma_max: Annotated[float, Field(gt=0, le=100)] = 5.0
    """Upper bound of gamma."""


class Hybrid(Spec):
    """A share of sigmoid cross-entropy, the rest focal loss."""

    name: Literal["hybrid"] = "hybrid"
    alpha: Annotated[float, Field(ge=0, le=1), Range(0.1, 0.9)] = 0.5
    """Share of sigmoid cross-entropy."""
    bce: Annotated[Literal["bce", "weighted_bce"], Choices(("bce", "weighted_bce"))] = "bce"
    """Which sigmoid cross-entropy."""
    focal: Annotated[Literal["focal", "adaptive_focal"], Choices(("focal", "adaptive_focal"))] = "focal"
    """Which focal loss; the adaptive one trains gamma between 1 and 5."""
    gamma: Gamma = 2.0
    """Of the focal loss."""


SingleLabelLoss = Annotated[
    CrossEntropy | Bce | WeightedBce | Focal | AdaptiveFocal | Hybrid,
    Field(discriminator="name"),
    Choices(
        (
            "ce",
            "weighted_bce",
            "focal",
            "adaptive_focal",
            "hybrid",
        )
    ),
]
MultiLabelLoss = Annotated[
    Bce | WeightedBce | Focal | AdaptiveFocal | Hybrid,
    Field(discriminator="name"),
    Choices(
        (
            "bce",
            "weighted_bce",
            "focal",
            "adaptive_focal",
            "hybrid",
        )
    ),
]


class Mse(Spec):
    """Squared difference."""

    name: Literal["mse"] = "mse"


class Huber(Spec):
    """Squared up to a difference of delta and linear above it, so that few numbers that are far off count less: half of
    d^2, or delta (|d| - delta / 2) (Huber 1964)."""

    name: Literal["huber"] = "huber"
    delta: Annotated[float, Field(gt=0, le=1000), Range(0.5, 2.0)] = 1.0
    """In standard deviations of the training numbers."""


class SmoothL1(Spec):
    """The absolute difference, squared below beta: d^2 / (2 beta), or |d| - beta / 2 (Girshick 2015, arXiv 1504.08083,
    equation 3)."""

    name: Literal["smooth_l1"] = "smooth_l1"
    beta: Annotated[float, Field(gt=0, le=1000), Range(0.1, 1.0)] = 1.0
    """In standard deviations of the training numbers."""


NumberLoss = Annotated[Mse | Huber | SmoothL1, Field(discriminator="name"), Choices(("mse", "huber", "smooth_l1"))]
