"""How the learning rate moves over the run."""

from typing import Annotated, Literal

from pydantic import Field

from tunery.schema.spec import Range, Spec

Warmup = Annotated[float, Field(ge=0), Range(0.0, 0.2)]


class Linear(Spec):
    """From the peak straight down to zero."""

    name: Literal["linear"] = "linear"
    warmup: Warmup = 0.06
    """Below 1: share of all steps that rise from zero to the peak. From 1 on: their number."""


class Cosine(Spec):
    """From the peak down to zero along half a cosine (Loshchilov & Hutter 2017, arXiv 1608.03983, equation 5)."""

    name: Literal["cosine"] = "cosine"
    warmup: Warmup = 0.06
    """Below 1: share of all steps that rise from zero to the peak. From 1 on: their number."""


class Constant(Spec):
    """At the peak from the end of the warm-up on."""

    name: Literal["constant"] = "constant"
    warmup: Warmup = 0.0
    """Below 1: share of all steps that rise from zero to the peak. From 1 on: their number."""


Schedule = Annotated[Linear | Cosine | Constant, Field(discriminator="name")]
