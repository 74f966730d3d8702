"""Which pretrained parameters stay as they are, and that what stays runs without dropout."""

from collections.abc import Callable, Iterable
from typing import Any, final

from torch import nn

from tunery.errors import ModelError
from tunery.model.backbones.families import is_norm
from tunery.model.backbones.structure import ModelStructure
from tunery.model.peft.library_models import original_parameters
from tunery.schema.config.freeze import FreezeEncoder, FreezeLayers, FreezeToAdapter, Freezing, NoFreeze
from tunery.schema.spec import Spec

Freezer = Callable[[Any, nn.Module, ModelStructure], Iterable[nn.Module]]

POOLER = "pooler"
"""What every family that has a pretrained pooler calls it."""


def freeze(spec: Spec, backbone: nn.Module, structure: ModelStructure, *, fresh: frozenset[str]) -> tuple[str, ...]:
    """Freeze what the spec says; parameters in `fresh` were never pretrained and stay trainable.

    Returns:
        Names within the backbone of the modules that the spec keeps trainable, for a method that freezes on its own.

    Raises:
        ModelError: more layers are to be frozen than there are, or a part is to be trained that there is not.
    """
    for module in FREEZERS[type(spec)](spec, backbone, structure):
        module.requires_grad_(False)
    for name, parameter in backbone.named_parameters():
        if name in fresh:
            parameter.requires_grad_(True)
    unfrozen: list[str] = []
    if isinstance(spec, Freezing) and spec.unfreeze_layernorm:
        norms = [name for name, module in backbone.named_modules() if is_norm(module)]
        unfrozen += _required(norms, "unfreeze_layernorm", what="layer norm")
    if isinstance(spec, Freezing) and spec.unfreeze_pooler:
        poolers = [name for name, _ in backbone.named_children() if name == POOLER]
        unfrozen += _required(poolers, "unfreeze_pooler", what="pooler")
    for name in unfrozen:
        backbone.get_submodule(name).requires_grad_(True)
    return tuple(unfrozen)


def _required(names: list[str], flag: str, *, what: str) -> list[str]:
    if not names:
        raise ModelError(
            f"freeze.{flag}=true needs a model with a {what}, but the part of the pretrained model that is used here "
            f"has none; remove it (only model.head.kind=native reads a pooler)"
        )
    return names


@final
class PretrainedModules:
    """The modules of a pretrained model and their parameters, remembered before a PEFT method is put on it."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._parent = {child: parent for parent in model.modules() for child in parent.children()}
        self._parameters = {module: tuple(module.parameters()) for module in model.modules()}

    def frozen(self) -> tuple[nn.Module, ...]:
        """Every pretrained module that has parameters, all of whose pretrained parameters are frozen now.

        A module without parameters, dropout above all, goes with its parent. What a method has added is not among them.
        """
        trained = {parameter for parts in self._parameters.values() for parameter in parts if parameter.requires_grad}
        trained |= original_parameters(self._model)  # peft trains a copy of their module
        frozen: dict[nn.Module, None] = {}
        for module, parameters in self._parameters.items():  # parents come before their children
            is_frozen = trained.isdisjoint(parameters) if parameters else self._parent.get(module) in frozen
            if is_frozen:
                frozen[module] = None
        return tuple(frozen)


def _lowest_layers(spec: FreezeLayers, backbone: nn.Module, structure: ModelStructure) -> Iterable[nn.Module]:
    if spec.n > structure.count:
        raise ModelError(
            f"`freeze.n <= number of layers` must hold, but got n={spec.n} and the model has {structure.count} layers; "
            "lower freeze.n, or take freeze.strategy=freeze_encoder"
        )
    if spec.n == 0:
        return ()
    stem = [backbone.get_submodule(name) for name in structure.stem]
    return [*stem, *(structure.layer(backbone, index) for index in range(spec.n))]


FREEZERS: dict[type[Spec], Freezer] = {
    NoFreeze: lambda spec, backbone, structure: (),
    FreezeEncoder: lambda spec, backbone, structure: (backbone,),
    FreezeLayers: _lowest_layers,
    FreezeToAdapter: lambda spec, backbone, structure: (),  # the method freezes what it does not train
}
