"""Frozen weights in 4 or 8 bits, through bitsandbytes (Dettmers et al. 2023, arXiv 2305.14314, section 3)."""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from transformers import BitsAndBytesConfig, PreTrainedModel

from tunery.errors import MissingExtra

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    "int8": {"load_in_8bit": True},
}
"""`model.quantization` -> what the library calls it."""


def loading_options(kind: str, *, layers: str) -> dict[str, Any]:
    """What `from_pretrained` needs to quantise the matrices below the module list `layers`, and no others.

    The model is read onto the CPU like any other, and moved when it is complete.

    Raises:
        MissingExtra: bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise MissingExtra("bitsandbytes", extra="quant")
    skip = [rf"(?!{re.escape(layers)}\.\d+\.).*"]  # whatever is not below a layer
    config = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        **SETTINGS[kind], bnb_4bit_compute_dtype=torch.float32, llm_int8_skip_modules=skip
    )
    return {"quantization_config": config, "device_map": {"": "cpu"}}


def make_trainable(model: PreTrainedModel) -> None:
    """Let gradients pass through the quantised layers, exactly and in every mode."""
    from tunery.model.backbones.quantized_linear import REPLACED

    for module in model.modules():
        # the class alone is replaced: the layer keeps its weights, and peft still finds the library's class in it
        module.__class__ = REPLACED.get(type(module), type(module))
    vars(model).pop("hf_device_map", None)  # the Trainer would take it for a model that must not be moved


def true_sizes(module: nn.Module) -> dict[str, int]:
    """Number of values in every parameter, by its name; two 4-bit values are stored as one number."""
    sizes = {name: parameter.numel() for name, parameter in module.named_parameters()}
    linear = {f"{name}.weight": layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    return sizes | {name: layer.in_features * layer.out_features for name, layer in linear.items() if name in sizes}
