"""Which parameters are trained in place of all: the parameter-efficient methods."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tunery.schema.spec import Choices, Range, Spec

Target = Literal["query", "key", "value", "output", "ffn.up", "ffn.down"]


class NoPeft(Spec):
    """Full fine-tuning: every parameter that is not frozen is trained."""

    method: Literal["none"] = "none"
    default_lr: ClassVar[float] = 5e-5


class Lora(Spec):
    """Low-rank update of chosen linear layers (Hu et al. 2021, arXiv 2106.09685, section 4.1)."""

    method: Literal["lora"] = "lora"
    default_lr: ClassVar[float] = 1e-3
    r: Annotated[int, Field(ge=1), Choices((4, 8, 16, 32))] = 8
    """Rank of the update."""
    alpha: Annotated[float, Field(gt=0), Choices((8, 16, 32, 64))] = 16
    """The update is scaled by alpha / r."""
    dropout: Annotated[float, Field(ge=0, lt=1), Range(0.0, 0.2)] = 0.05
    """Dropout on the input of the update."""
    bias: Annotated[Literal["none", "lora_only", "all"], Choices(("none", "lora_only"))] = "none"
    """Which bias vectors are trained too."""
    target: Annotated[
        tuple[Target, ...],
        Field(min_length=1),
        Choices((("query", "value"), ("query", "key", "value", "output"), ("query", "value", "ffn.up", "ffn.down"))),
    ] = ("query", "value")
    """Logical names of the layers that get an update; every model family maps them to its own modules."""


Peft = Annotated[NoPeft | Lora, Field(discriminator="method")]
