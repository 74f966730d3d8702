"""Methods that add nothing and train a part of what is there (BitFit: Ben Zaken et al. 2022, arXiv 2106.10199)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, final

from torch import nn
from transformers import PreTrainedModel

from tunery.errors import ModelError
from tunery.model.backbones.catalog import Base
from tunery.model.peft.adapter_files import read_trained, write_trained
from tunery.model.peft.method import LoadedBase, Method, Wrapped
from tunery.schema.config.peft import BitFit

Select = Callable[[nn.Module], list[str]]
"""A backbone -> names of the parameters in it that are trained."""


def biases(backbone: nn.Module) -> list[str]:
    """Every bias vector of the backbone, those of its norms included (Ben Zaken et al. 2022, section 3).

    Raises:
        ModelError: the backbone has none.
    """
    names = [name for name, part in backbone.named_parameters() if name.endswith("bias")]
    if not names:
        kind = type(backbone).__name__
        raise ModelError(f"peft.method=bitfit needs biases to train, but {kind} has none; take layernorm or lora")
    return names


@final
class Selection(Method):
    """Trains the selected parameters and freezes the rest; saves only what it trained.

    The spec is not at hand when the model is saved, so a selection belongs to one value of it.
    """

    def __init__(self, select: Select, *, spec: BitFit) -> None:
        self._select = select
        self._described = spec.model_dump(mode="json")

    def wrap(self, spec: Any, loaded: LoadedBase) -> Wrapped:
        """The model as it is, with other parameters frozen.

        Raises:
            ModelError: there is nothing to select.
        """
        selected = self._select(loaded.backbone)
        loaded.model.requires_grad_(False)
        for name in selected:
            loaded.backbone.get_parameter(name).requires_grad_(True)
        for name in loaded.trained_whole:
            loaded.model.get_submodule(name).requires_grad_(True)
        return Wrapped(loaded.model)

    def save(self, model: nn.Module, folder: Path, *, base: Base) -> None:
        """What was trained, and nothing else."""
        trained = {name: part for name, part in model.named_parameters() if part.requires_grad}
        write_trained(trained, folder, peft=self._described, base=base)

    def load(self, spec: Any, loaded: LoadedBase, folder: Path) -> nn.Module:
        """The base, with the saved parameters in it.

        Raises:
            ModelError: the folder cannot be read, was saved by another method, or does not fit the base.
        """
        model = self.wrap(spec, loaded).module
        parameters = dict(model.named_parameters())
        needed = {name for name, part in parameters.items() if part.requires_grad}
        read_trained(parameters, folder, needed=needed, peft=self._described)
        return model.requires_grad_(False).eval()

    def merge(self, spec: Any, model: PreTrainedModel) -> PreTrainedModel:
        """What was trained are the model's own weights."""
        return model
