"""Which pretrained parameters stay as they are."""

from typing import Annotated, Literal

from pydantic import Field

from tunery.schema.spec import Choices, Spec


class NoFreeze(Spec):
    """Nothing is frozen beyond what the PEFT method freezes."""

    strategy: Literal["none"] = "none"


class FreezeEncoder(Spec):
    """The whole encoder is frozen and runs in eval mode; only the head is trained."""

    strategy: Literal["freeze_encoder"] = "freeze_encoder"


class FreezeLayers(Spec):
    """The embeddings and the lowest `n` layers are frozen and run in eval mode."""

    strategy: Literal["freeze_layers_n"] = "freeze_layers_n"
    n: Annotated[int, Field(ge=0), Choices((0, 2, 6))] = 2
    """Number of layers, counted from the input. 0 freezes nothing."""


Freeze = Annotated[NoFreeze | FreezeEncoder | FreezeLayers, Field(discriminator="strategy")]
