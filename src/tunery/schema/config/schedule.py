"""How the learning rate moves over the run."""

from typing import Annotated, Literal

from pydantic import Field

from tunery.schema.spec import Choices, Range, Spec, Steps


class NoSchedule(Spec):
    """No schedule at all: the optimizer's own rates are left alone."""

    name: Literal["none"] = "none"


class Constant(Spec):
    """At the peak in every step."""

    name: Literal["constant"] = "constant"


Warmup = Annotated[Steps | Annotated[float, Field(ge=0, lt=1)], Range(0.0, 0.2)]


class WarmedUp(Spec):
    """What the schedules have that rise to the peak first."""

    name: str
    warmup: Warmup = 0.06
    """Below 1: share of all steps that rise in a straight line from zero to the peak; 0 starts at the peak. From 1 on:
    their number."""


class ConstantWarmup(WarmedUp):
    """At the peak from the end of the warm-up on."""

    name: Literal["constant_warmup"] = "constant_warmup"


class Linear(WarmedUp):
    """From the peak straight down to zero."""

    name: Literal["linear"] = "linear"


class Cosine(WarmedUp):
    """From the peak down to zero along half a cosine (Loshchilov & Hutter 2017, arXiv 1608.03983, equation 5)."""

    name: Literal["cosine"] = "cosine"


class CosineRestart(WarmedUp):
    """Half cosines from the peak to zero, one after the other, each `T_mult` times as long as the one before
    (Loshchilov & Hutter 2017, arXiv 1608.03983, section 3)."""

    name: Literal["cosine_restart"] = "cosine_restart"
    num_cycles: Annotated[int, Field(ge=1, le=100), Choices((1, 2, 4))] = 2
    """How many cycles the training is divided into."""
    T_mult: Annotated[float, Field(ge=1, le=10), Choices((1, 2))] = 1
    """Length of each cycle divided by that of the one before."""


class Polynomial(WarmedUp):
    """From the peak down to zero as a power of what is left."""

    name: Literal["polynomial"] = "polynomial"
    power: Annotated[float, Field(gt=0, le=100), Range(1.0, 3.0)] = 2.0
    """The exponent; 1 is `linear`."""


class Exponential(WarmedUp):
    """From the peak down by the same factor in every epoch, a little in every step."""

    name: Literal["exponential"] = "exponential"
    gamma: Annotated[float, Field(gt=0, le=1), Range(0.95, 0.99)] = 0.95
    """Factor on the learning rate over one epoch."""


class OneCycle(Spec):
    """Up to the peak and down again, both along half a cosine (Smith & Topin 2018, arXiv 1708.07120)."""

    name: Literal["one_cycle"] = "one_cycle"
    pct_start: Annotated[float, Field(gt=0, lt=1), Range(0.1, 0.3)] = 0.3
    """Share of all steps that rise."""
    div_factor: Annotated[float, Field(ge=1, le=1_000_000_000), Choices((10, 25, 100))] = 25
    """Peak divided by the rate of the first step."""
    final_div_factor: Annotated[float, Field(ge=1, le=1_000_000_000), Choices((100, 10000))] = 10000
    """Rate of the first step divided by that at the end."""


class ReducePlateau(WarmedUp):
    """At the peak until the validation metric stops improving, then lower by a factor, again and again."""

    name: Literal["reduce_plateau"] = "reduce_plateau"
    patience: Annotated[int, Field(ge=0, le=1000), Choices((2, 5, 10))] = 2
    """Epochs without improvement that are let pass; the next one lowers the rate."""
    factor: Annotated[float, Field(gt=0, lt=1), Range(0.5, 0.9)] = 0.5
    """Factor on the learning rate each time."""
    threshold: Annotated[float, Field(ge=0, le=1000)] = 1e-4
    """A change of the objective counts as an improvement when it is larger than this."""


Schedule = Annotated[
    NoSchedule
    | Linear
    | Cosine
    | CosineRestart
    | Polynomial
    | Constant
    | ConstantWarmup
    | Exponential
    | OneCycle
    | ReducePlateau,
    Field(discriminator="name"),
    Choices(
        (
            "linear",
            "cosine",
            "cosine_restart",
            "polynomial",
            "constant",
            "constant_warmup",
            "exponential",
            "one_cycle",
            "reduce_plateau",
        )
    ),
]
