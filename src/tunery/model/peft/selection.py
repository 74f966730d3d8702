"""Methods that add nothing and train a part of what is there (BitFit: Ben Zaken et al. 2022, arXiv 2106.10199)."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from tunery.errors import ModelError
from tunery.model.backbones.catalog import Base
from tunery.model.peft.adapter_files import read_trained, write_trained
from tunery.model.peft.method import LoadedBase, Method, Wrapped
from tunery.schema.spec import Spec

Select = Callable[[nn.Module], list[str]]
"""A backbone -> names of the parameters in it that are trained."""


def biases(backbone: nn.Module) -> list[str]:
    """Every bias vector of the backbone, those of its norms included (Ben Zaken et al. 2022, section 3).

    Raises:
        ModelError: the backbone has none.
    """
    names = [name for name, parameter in backbone.named_parameters() if name.endswith("bias")]
    if not names:
        kind = type(backbone).__name__
        raise ModelError(f"peft.method=bitfit needs biases to train, but {kind} has none; take layernorm or lora")
    return names


def nothing(backbone: nn.Module) -> list[str]:
    """A probe leaves all of the backbone as it is."""
    return []


def selection(select: Select, *, spec: Spec) -> Method:
    """Trains the selected parameters and freezes the rest; saves only what it trained.

    The spec is not at hand when the model is saved, so a selection belongs to one value of it.
    """
    described = spec.model_dump(mode="json")

    def wrap(spec: Spec, loaded: LoadedBase) -> Wrapped:
        selected = select(loaded.backbone)
        loaded.model.requires_grad_(False)
        for name in selected:
            loaded.backbone.get_parameter(name).requires_grad_(True)
        for name in loaded.trained_whole:
            loaded.model.get_submodule(name).requires_grad_(True)
        return Wrapped(loaded.model)

    def save(model: nn.Module, folder: Path, *, base: Base) -> None:
        trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        write_trained(trained, folder, peft=described, base=base)

    def load(spec: Spec, loaded: LoadedBase, folder: Path) -> nn.Module:
        model = wrap(spec, loaded).module
        parameters = dict(model.named_parameters())
        needed = {name for name, parameter in parameters.items() if parameter.requires_grad}
        read_trained(parameters, folder, needed=needed, peft=described)
        return model.requires_grad_(False).eval()

    return Method(wrap, save, load, merge=lambda spec, model: model)
