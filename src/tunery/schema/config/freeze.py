"""Which pretrained parameters stay as they are."""

from typing import Annotated, Literal

from pydantic import Field

from tunery.schema.config.peft import NoPeft
from tunery.schema.spec import Choices, Spec


class NoFreeze(Spec):
    """Nothing is frozen beyond what the PEFT method freezes; what that freezes runs in eval mode."""

    strategy: Literal["none"] = "none"


class Freezing(Spec):
    """What the strategies that freeze share."""

    strategy: str
    unfreeze_layernorm: Annotated[bool, Choices((False, True))] = False
    """Train the layer norms all the same."""
    unfreeze_pooler: bool = False
    """Train the pretrained pooler all the same; an error where the model has none."""
    eval_mode: bool = True
    """Run modules whose pretrained parameters are all frozen in eval mode, that is without dropout."""


class FreezeEncoder(Freezing):
    """The whole encoder is frozen; only the head is trained."""

    strategy: Literal["freeze_encoder"] = "freeze_encoder"


class FreezeLayers(Freezing):
    """The embeddings and the lowest `n` layers are frozen."""

    strategy: Literal["freeze_layers_n"] = "freeze_layers_n"
    n: Annotated[int, Field(ge=0, le=1000), Choices((0, 2, 6))] = 2
    """Number of layers, counted from the input. 0 freezes nothing."""


class FreezeToAdapter(Freezing):
    """The encoder is frozen but for what the PEFT method trains, and for the parts named here."""

    strategy: Literal["adapter"] = "adapter"


Freeze = Annotated[
    NoFreeze | FreezeEncoder | FreezeLayers | FreezeToAdapter,
    Field(discriminator="strategy"),
    Choices(
        (
            "none",
            "freeze_encoder",
            "freeze_layers_n",
            "adapter",
        )
    ),
]


def frozen_in_eval(freeze: Spec, peft: Spec) -> bool | None:
    """Whether the config runs frozen layers in eval mode; None where it freezes nothing."""
    if isinstance(freeze, Freezing):
        freezes_nothing = isinstance(freeze, FreezeLayers) and freeze.n == 0
        return None if freezes_nothing else freeze.eval_mode
    return None if isinstance(peft, NoPeft) else True
