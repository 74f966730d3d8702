"""Methods that the peft library brings: a spec becomes one of its configs, the library does the rest."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from peft import IA3Config, LNTuningConfig, LoraConfig, PeftConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME, ModulesToSaveWrapper
from torch import nn
from transformers import PreTrainedModel

from tunery.errors import ModelError, reason_of
from tunery.model.backbones.catalog import Base
from tunery.model.backbones.families import is_transposed, norm_pattern, target_pattern
from tunery.model.peft.library_warnings import without_noise
from tunery.model.peft.method import LoadedBase, Method, Wrapped, unmergeable
from tunery.schema.config.peft import FixedRank, Ia3, LayerNormTuning, LoraPlus, LowRank, Target, Topmost

ConfigOf = Callable[[Any, LoadedBase], PeftConfig]
LrScaleOf = Callable[[Any, nn.Module], Mapping[str, float]]

_LOST = "Found missing adapter keys"
"""How the library's warning begins that a folder lacks weights, which it then draws at random."""


def through_peft(
    config_of: ConfigOf,
    *,
    lr_scale: LrScaleOf = lambda spec, model: {},
    no_decay: str | None = None,
    is_injectable: bool = False,
) -> Method:
    """A method of the library, and its own format on disk.

    Args:
        config_of: makes the library's config; `trained_whole` and the task type are its business too.
        lr_scale: names the parameters whose learning rate is not the common one.
        no_decay: what the library calls parameters that weight decay must not touch, by a part of the name.
        is_injectable: as in `Method`.
    """

    def wrap(spec: Any, loaded: LoadedBase) -> Wrapped:
        config = config_of(spec, loaded)
        with without_noise():
            model = get_peft_model(loaded.model, config)
        names = (name for name, _ in model.named_parameters())
        neutral = frozenset(name for name in names if no_decay is not None and no_decay in name)
        return Wrapped(model, lr_scale=lr_scale(spec, model), no_decay=neutral)

    return Method(wrap, save_adapter, load_adapter, merge_adapter, is_injectable)


def save_adapter(model: Any, folder: Path, *, base: Base) -> None:
    """Write `adapter_model.safetensors`, and a config that names the base as this machine finds it."""
    config = model.peft_config["default"]
    config.base_model_name_or_path = base.source
    config.revision = base.revision
    if "modules_to_save" in field_names(type(config)) and config.modules_to_save:
        config.modules_to_save = sorted(set(config.modules_to_save))
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # the library's empty model card


def load_adapter(spec: Any, loaded: LoadedBase, folder: Path) -> nn.Module:
    """Put a saved adapter on its base.

    Raises:
        ModelError: the folder lacks a file of the adapter, which the library would then ask the Hub for, or the adapter
            does not fit the base.
    """
    for name in (CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME):
        if not (folder / name).is_file():
            raise ModelError(f"an adapter must hold {name}, but {str(folder)!r} does not; export the run again")
    try:
        with without_noise():
            warnings.filterwarnings("error", message=_LOST)
            return PeftModel.from_pretrained(loaded.model, str(folder.resolve()), local_files_only=True).eval()
    except MemoryError:
        raise
    except Exception as error:  # what the library makes of a bad file has no common type
        raise ModelError(f"the adapter in {str(folder)!r} does not fit its base: {reason_of(error)}") from error


def merge_adapter(spec: Any, model: Any) -> PreTrainedModel:
    """By the library's own `merge_and_unload`, and what that leaves undone.

    Raises:
        ModelError: the library does not merge this method.
    """
    try:
        with without_noise():
            merged: PreTrainedModel = model.merge_and_unload(safe_merge=True)
    except (NotImplementedError, AttributeError, ValueError) as error:
        raise unmergeable(spec, f"is not merged by peft ({reason_of(error)})") from error
    for name, module in list(merged.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):  # LNTuning leaves a trained head in its wrapper
            merged.set_submodule(name, module.modules_to_save[module.active_adapters[0]])
    return merged


def lora_config(spec: FixedRank, loaded: LoadedBase, **options: Any) -> LoraConfig:
    """LoRA, and its relatives by the library's own switches: `use_dora`, `use_rslora`."""
    return LoraConfig(r=spec.r, **low_rank_arguments(spec, loaded), **options)


def ia3_config(spec: Ia3, loaded: LoadedBase) -> IA3Config:
    """Scales on the outputs of key and value, and on the input of the matrix that leads down again.

    The library asks that what scales inputs be among the targets, by a pattern of its own.
    """
    down: tuple[Target, ...] = ("ffn.down",) if spec.ffn else ()
    targets: tuple[Target, ...] = ("key", "value", *down)
    return IA3Config(
        target_modules=pattern(loaded, targets),
        feedforward_modules=pattern(loaded, down) if down else [],
        fan_in_fan_out=is_transposed(loaded.layer(0), targets),
        **common_arguments(loaded),
    )


def layernorm_config(spec: LayerNormTuning, loaded: LoadedBase) -> LNTuningConfig:
    """Weights and biases of every norm in the backbone."""
    names = norm_pattern(loaded.backbone, prefix=loaded.prefix)
    return LNTuningConfig(target_modules=names, **common_arguments(loaded))


def faster_b(spec: LoraPlus, model: nn.Module) -> dict[str, float]:
    """Every matrix B learns `lr_ratio` times as fast as the rest (Hayou et al. 2024, section 4)."""
    layers = ((name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer))
    return {
        f"{name}.lora_B.{part}": spec.lr_ratio for name, layer in layers for part, _ in layer.lora_B.named_parameters()
    }


def low_rank_arguments(spec: LowRank, loaded: LoadedBase) -> dict[str, Any]:
    """What the configs of all low-rank methods take."""
    return {
        "lora_alpha": spec.alpha,
        "lora_dropout": spec.dropout,
        "bias": spec.bias,
        "target_modules": pattern(loaded, spec.target, layers=spec.layers),
        "fan_in_fan_out": is_transposed(loaded.layer(0), spec.target),
        **common_arguments(loaded),
    }


def common_arguments(loaded: LoadedBase) -> dict[str, Any]:
    """What the configs of all methods take that leave the head to the library."""
    return {"task_type": loaded.task_type, "modules_to_save": list(loaded.trained_whole) or None}


def pattern(loaded: LoadedBase, targets: tuple[Target, ...], *, layers: Topmost = "all") -> str:
    """The target modules of some layers, as the library matches names."""
    numbers = None if layers == "all" else loaded.topmost(layers)
    return target_pattern(loaded.layer(0), path=loaded.layers, targets=targets, numbers=numbers)


def field_names(config: type[PeftConfig]) -> frozenset[str]:
    """The keyword arguments of a config class."""
    return frozenset(field.name for field in fields(config) if field.init)
