"""LoRA through peft (Hu et al. 2021, arXiv 2106.09685)."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tunery.errors import ModelError
from tunery.model.catalog import Base
from tunery.model.families import layout_of, target_pattern
from tunery.schema.peft import Lora


def wrap_with_lora(
    spec: Lora, model: PreTrainedModel, *, layer: nn.Module, path: str, trained_whole: Iterable[str], task_type: str
) -> nn.Module:
    """Put low-rank updates on the target modules and freeze the rest, except what is trained whole.

    Args:
        layer: one layer of the model, to find the target modules in.
        path: name of the list of layers within the model.

    Raises:
        ModelError: the layer's modules are of no known family.
    """
    config = LoraConfig(
        task_type=task_type,
        r=spec.r,
        lora_alpha=spec.alpha,  # type: ignore[arg-type]  # peft divides by r: any number will do
        lora_dropout=spec.dropout,
        bias=spec.bias,
        target_modules=target_pattern(layer, path=path, targets=spec.target),
        modules_to_save=list(trained_whole) or None,
        fan_in_fan_out=_is_transposed(layer, spec),
    )
    with _no_deprecations():
        return get_peft_model(model, config)


def save_adapter(model: Any, folder: Path, *, base: Base) -> None:
    """Write `adapter_model.safetensors` and an `adapter_config.json` that names the base as this machine finds it."""
    config = model.peft_config["default"]
    config.base_model_name_or_path = base.source
    config.revision = base.revision
    config.modules_to_save = config.modules_to_save and sorted(set(config.modules_to_save))
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card


def load_adapter(model: Any, folder: Path) -> nn.Module:
    """Put a saved adapter on its base.

    Raises:
        ModelError: the adapter does not fit the base.
    """
    try:
        with _no_deprecations():
            return PeftModel.from_pretrained(model, str(folder))
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"the adapter in {str(folder)!r} does not fit its base: {error}") from error


@contextmanager
def _no_deprecations() -> Iterator[None]:
    """peft reads a property that transformers 5.23 renamed; the user can do nothing about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        yield


def _is_transposed(layer: nn.Module, spec: Lora) -> bool:
    """GPT-2 keeps its matrices as (in, out)."""
    layout = layout_of(layer)
    return any(isinstance(layer.get_submodule(name), Conv1D) for target in spec.target for name in layout[target])
