"""Which pretrained parameters stay as they are."""

from collections.abc import Callable, Iterable
from types import MethodType
from typing import Any

from torch import nn

from tunery.errors import ModelError
from tunery.model.anatomy import Anatomy
from tunery.schema.freeze import FreezeEncoder, FreezeLayers, NoFreeze
from tunery.schema.spec import Spec

Freezer = Callable[[Any, nn.Module, Anatomy], Iterable[nn.Module]]


def freeze(spec: Spec, backbone: nn.Module, anatomy: Anatomy, *, fresh: frozenset[str]) -> None:
    """Freeze what the spec says; parameters in `fresh` were never pretrained and stay trainable.

    Frozen modules run in eval mode, also after `train()`.

    Raises:
        ModelError: more layers are to be frozen than there are.
    """
    for module in FREEZERS[type(spec)](spec, backbone, anatomy):
        module.requires_grad_(False)
        module.eval()
        # The instance's own `train` shadows the class's: correct at once, at any depth, with no hook in the forward.
        vars(module)["train"] = MethodType(_stay_in_eval, module)
    for name, parameter in backbone.named_parameters():
        if name in fresh:
            parameter.requires_grad_(True)


def _stay_in_eval(module: nn.Module, mode: bool = True) -> nn.Module:
    return type(module).train(module, False)


def _nothing(spec: NoFreeze, backbone: nn.Module, anatomy: Anatomy) -> Iterable[nn.Module]:
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
}
