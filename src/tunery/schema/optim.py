"""The optimizers and their parameters."""

from typing import Annotated, Literal

from pydantic import Field

from tunery.schema.spec import Choices, Range, Spec

Rate = Annotated[float, Field(gt=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class AdamW(Spec):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2)."""

    name: Literal["adamw"] = "adamw"
    lr: Annotated[Rate | None, Range(1e-5, 2e-3, log=True)] = None
    """Peak learning rate; null takes the default of the PEFT method."""
    head_lr: Rate | None = None
    """Peak learning rate of the head, which starts from noise; null means ten times `lr`, but no more than 0.01
    unless `lr` itself is more."""
    weight_decay: Annotated[float, Field(ge=0), Range(0.0, 0.1)] = 0.01
    """Decoupled decay per step; never on biases, norms and embeddings."""
    betas: Annotated[tuple[Beta, Beta], Choices(((0.9, 0.999), (0.9, 0.98)))] = (0.9, 0.999)
    """Decay rates of the two moment estimates."""
    eps: Annotated[float, Field(gt=0)] = 1e-8
    """Added to the root of the second moment."""


class SgdMomentum(Spec):
    """Stochastic gradient descent with momentum (Sutskever et al. 2013, section 2)."""

    name: Literal["sgd_momentum"] = "sgd_momentum"
    lr: Annotated[Rate | None, Range(1e-3, 1e-1, log=True)] = 1e-2
    """Peak learning rate."""
    head_lr: Rate | None = None
    """Peak learning rate of the head, which starts from noise; null means ten times `lr`, but no more than 0.01
    unless `lr` itself is more."""
    weight_decay: Annotated[float, Field(ge=0), Range(0.0, 0.1)] = 0.01
    """L2 penalty in the gradient; never on biases, norms and embeddings."""
    momentum: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of the previous update that is kept."""
    nesterov: bool = False
    """Look ahead along the momentum before the gradient is taken."""


Optim = Annotated[AdamW | SgdMomentum, Field(discriminator="name")]
