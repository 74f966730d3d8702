"""Which pretrained parameters stay as they are, and that what stays runs without dropout."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, final

from torch import nn

from tunery.errors import ModelError
from tunery.model.backbones.families import is_norm
from tunery.model.backbones.structure import Anatomy
from tunery.model.peft.originals import spare_parameters
from tunery.schema.config.freeze import FreezeEncoder, FreezeLayers, FreezeToAdapter, Freezing, NoFreeze
from tunery.schema.spec import Spec

Freezer = Callable[[Any, nn.Module, Anatomy], Iterable[nn.Module]]

POOLER = "pooler"
"""What every family that has a pretrained pooler calls it."""


def freeze(spec: Spec, backbone: nn.Module, anatomy: Anatomy, *, fresh: frozenset[str]) -> tuple[str, ...]:
    """Freeze what the spec says; parameters in `fresh` were never pretrained and stay trainable.

    Returns:
        Names within the backbone of the modules that the spec keeps trainable, for a method that freezes on its own.

    Raises:
        ModelError: more layers are to be frozen than there are, or a part is to be trained that there is not.
    """
    for module in FREEZERS[type(spec)](spec, backbone, anatomy):
        module.requires_grad_(False)
    for name, parameter in backbone.named_parameters():
        if name in fresh:
            parameter.requires_grad_(True)
    kept = tuple(_unfrozen(spec, backbone)) if isinstance(spec, Freezing) else ()
    for name in kept:
        backbone.get_submodule(name).requires_grad_(True)
    return kept


@dataclass(frozen=True)
class _Part:
    """A module as it was before a method changed it."""

    module: nn.Module
    parent: nn.Module | None
    parameters: tuple[nn.Parameter, ...]
    """Its own and those of everything below it."""


@final
class Pretrained:
    """The modules of a pretrained model, remembered before a PEFT method is put on it."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        parents = {child: parent for parent in model.modules() for child in parent.children()}
        self._parts = [_Part(part, parents.get(part), tuple(part.parameters())) for part in model.modules()]

    def rest_where_frozen(self) -> bool:
        """Pin eval mode on every pretrained module that has parameters and whose pretrained parameters are all frozen.

        A module without parameters, dropout above all, goes with its parent. What a method has added follows the mode
        it is given. Returns whether any module rests now.
        """
        trained = self._trained()
        resting: set[nn.Module] = set()
        for part in self._parts:  # parents come before their children
            frozen = not any(parameter in trained for parameter in part.parameters)
            if frozen if part.parameters else part.parent in resting:
                resting.add(part.module)
                _pin(part.module)
        return bool(resting)

    def _trained(self) -> set[nn.Parameter]:
        """Pretrained parameters that are trained, be it in a copy that peft has made of their module."""
        here = {parameter for part in self._parts for parameter in part.parameters if parameter.requires_grad}
        return here | spare_parameters(self._model)


def _pin(module: nn.Module) -> None:
    """Let the instance's own `train` shadow its class's: correct at once, at any depth, with no hook in the forward.

    A partial and not a bound method: the model can then be copied and pickled.
    """
    vars(module)["train"] = partial(_rest, module)
    module.train(module.training)


def _rest(module: nn.Module, mode: bool = True) -> nn.Module:
    # transformers computes activations again in the backward pass only in modules whose own flag says training
    module.training = mode and vars(module).get("gradient_checkpointing", False)
    for child in module.children():
        child.train(mode)
    return module


def _unfrozen(spec: Freezing, backbone: nn.Module) -> Iterable[str]:
    if spec.unfreeze_layernorm:
        yield from _found("unfreeze_layernorm", [name for name, part in backbone.named_modules() if is_norm(part)])
    if spec.unfreeze_pooler:
        yield from _found("unfreeze_pooler", [name for name, _ in backbone.named_children() if name == POOLER])


def _found(flag: str, names: list[str]) -> list[str]:
    if not names:
        what = {"unfreeze_layernorm": "layer norm", "unfreeze_pooler": "pooler"}[flag]
        raise ModelError(
            f"freeze.{flag}=true needs a model with a {what}, but the part of the pretrained model that is used here "
            f"has none; remove it (only model.head.kind=native reads a pooler)"
        )
    return names


def _nothing(spec: Spec, backbone: nn.Module, anatomy: Anatomy) -> Iterable[nn.Module]:
    return ()


def _encoder(spec: FreezeEncoder, backbone: nn.Module, anatomy: Anatomy) -> Iterable[nn.Module]:
    return (backbone,)


def _lowest_layers(spec: FreezeLayers, backbone: nn.Module, anatomy: Anatomy) -> Iterable[nn.Module]:
    if spec.n > anatomy.count:
        raise ModelError(
            f"`freeze.n <= number of layers` must hold, but got n={spec.n} and the model has {anatomy.count} layers; "
            "lower freeze.n, or take freeze.strategy=freeze_encoder"
        )
    if spec.n == 0:
        return ()
    stem = [backbone.get_submodule(name) for name in anatomy.stem]
    return [*stem, *(anatomy.layer(backbone, index) for index in range(spec.n))]


FREEZERS: dict[type[Spec], Freezer] = {
    NoFreeze: _nothing,
    FreezeEncoder: _encoder,
    FreezeLayers: _lowest_layers,
    FreezeToAdapter: _nothing,
}
