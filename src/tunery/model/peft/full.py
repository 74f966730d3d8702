"""No method: every parameter that is not frozen is trained."""

from pathlib import Path
from typing import final

from torch import nn
from transformers import PreTrainedModel

from tunery.model.backbones.catalog import Base
from tunery.model.peft.method import LoadedBase, Method, Wrapped
from tunery.schema.config.peft import NoPeft


@final
class Full(Method):
    """The model as it is; saved as a plain transformers folder."""

    def wrap(self, spec: NoPeft, loaded: LoadedBase) -> Wrapped:
        """Nothing is added, nothing is frozen."""
        return Wrapped(loaded.model)

    def save(self, model: PreTrainedModel, folder: Path, *, base: Base) -> None:
        """`config.json` and `model.safetensors`."""
        model.save_pretrained(folder)

    def load(self, spec: NoPeft, loaded: LoadedBase, folder: Path) -> nn.Module:
        """The loaded was read from `folder` itself."""
        return loaded.model

    def merge(self, spec: NoPeft, model: PreTrainedModel) -> PreTrainedModel:
        """Nothing was added."""
        return model
