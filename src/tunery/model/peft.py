"""The parameter-efficient methods: spec class -> method. Adding one is a file and a line in `METHODS`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from torch import nn
from transformers import PreTrainedModel

from tunery.model.anatomy import Anatomy
from tunery.model.catalog import Base
from tunery.model.lora import save_adapter, wrap_with_lora
from tunery.schema.peft import Lora, NoPeft
from tunery.schema.spec import Spec


@dataclass(frozen=True)
class Carrier:
    """The pretrained part, as a method needs to see it."""

    model: PreTrainedModel
    anatomy: Anatomy
    prefix: str
    """Where the backbone is within the model: `bert.`, or empty."""
    fresh_modules: tuple[str, ...]
    """Modules that hold the model's own head or were never pretrained: trained whole, whatever the method."""
    task_type: str

    @property
    def backbone(self) -> nn.Module:
        """The pretrained encoder or decoder."""
        return self.model.get_submodule(self.prefix.removesuffix("."))


class Method(ABC):
    """One way to make a model trainable. Called by `build` and `export`; draws random numbers from torch only."""

    @abstractmethod
    def wrap(self, spec: Any, carrier: Carrier) -> nn.Module:
        """Mark what is trained, or add it. Returns the module to call in the model's place."""

    @abstractmethod
    def save(self, model: Any, folder: Path, *, base: Base) -> None:
        """Write the wrapped model so that the ecosystem's own loader reads it."""


@final
class Full(Method):
    """No method: every parameter that is not frozen is trained."""

    def wrap(self, spec: NoPeft, carrier: Carrier) -> nn.Module:
        """The model as it is."""
        return carrier.model

    def save(self, model: PreTrainedModel, folder: Path, *, base: Base) -> None:
        """A plain transformers folder."""
        model.save_pretrained(folder)


@final
class LowRank(Method):
    """LoRA, through peft."""

    def wrap(self, spec: Lora, carrier: Carrier) -> nn.Module:
        """A `PeftModel` around the model."""
        return wrap_with_lora(
            spec,
            carrier.model,
            layer=carrier.anatomy.layer(carrier.backbone, 0),
            path=carrier.prefix + carrier.anatomy.path,
            trained_whole=carrier.fresh_modules,
            task_type=carrier.task_type,
        )

    def save(self, model: Any, folder: Path, *, base: Base) -> None:
        """A PEFT folder."""
        save_adapter(model, folder, base=base)


METHODS: dict[type[Spec], Method] = {NoPeft: Full(), Lora: LowRank()}


def plain_name(name: str) -> str:
    """A parameter's or module's name without what peft puts around it."""
    for wrapping in ("base_model.model.", "modules_to_save.default.", "original_module.", "base_layer."):
        name = name.replace(wrapping, "")
    return name


def is_spare(name: str) -> bool:
    """Whether a parameter is peft's untouched copy of a module that is trained whole; nothing ever reads it."""
    return ".original_module." in name
