"""No method: every parameter that is not frozen is trained."""

from pathlib import Path
from typing import Final

from transformers import PreTrainedModel

from tunery.model.backbones.catalog import Base
from tunery.model.peft.method import Method, Wrapped


def _save(model: PreTrainedModel, folder: Path, *, base: Base) -> None:
    """As a plain transformers folder."""
    model.save_pretrained(folder)


FULL: Final = Method(
    wrap=lambda spec, loaded: Wrapped(loaded.model),
    save=_save,
    load=lambda spec, loaded, folder: loaded.model,  # it was read from `folder` itself
    merge=lambda spec, model: model,
)
