"""What models of the catalog take of memory, by prediction: from their configs, without their weights."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from huggingface_hub import try_to_load_from_cache
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import AutoConfig, PretrainedConfig

from tunery.errors import ModelError, RequestError, did_you_mean
from tunery.hardware import pick_precision
from tunery.model.backbones.checked_models import CATALOG
from tunery.model.backbones.dropout import Dropouts
from tunery.model.heads.heads import answers_of
from tunery.model.skeleton import skeleton
from tunery.optim.optimizers import OPTIMIZERS
from tunery.schema.config.optim import AdamW
from tunery.schema.config.peft import Peft
from tunery.schema.config.task import LabelOutput
from tunery.train.memory.prediction import Inputs, Prediction, Work, predict
from tunery.train.memory.ratios import known_ratio, ratio_key

SHARE: Final = 0.95
"""Of the memory that a run may be expected to take."""
_OUTPUTS: Final = {"labels": LabelOutput(labels=("no", "yes"), problem="single_label")}
_CPU: Final = torch.device("cpu")


@dataclass(frozen=True)
class Calibrated:
    """One model with one method."""

    model: str
    method: str
    max_length: int
    """Tokens of each row of a pass."""
    parameters: int | None = None
    weights: int | None = None
    """Bytes of the model itself."""
    fixed: int | None = None
    """Bytes of gradients and of the state of AdamW."""
    bytes_per_token: int | None = None
    """Of a pass of training."""
    micro_batch_tokens: int | None = None
    """The largest pass that fits, of whole rows; 0: not even one row does."""
    ratio: float | None = None
    """What activations really took on this machine, over what was predicted, where that was measured and is counted."""
    reason: str | None = None
    """Why there are no numbers."""


def calibrate(
    models: Sequence[str], methods: Mapping[str, Peft], *, max_length: int, memory: float, is_gpu: bool
) -> Iterator[Calibrated]:
    """One row for every model and method, in float32 weights and the precision that the device computes in.

    Args:
        models: aliases of the catalog; none: all.
        max_length: tokens of a row; less where a model was trained for less.
        memory: bytes that there are for the model and all else.
        is_gpu: whether fused attention is taken whatever its dropout, and mixed precision, as GPUs do.

    Raises:
        RequestError: a name is not in the catalog.
    """
    for alias in models:
        if alias not in CATALOG:
            raise RequestError(f"`tunery calibrate` takes aliases of the catalog, but got {alias!r}; {_like(alias)}")
    known: dict[Any, Calibrated] = {}
    for alias in models or CATALOG:
        entry = CATALOG[alias]
        for name, peft in methods.items():
            key = alias if entry.shape is None else (entry.family, repr(sorted(entry.shape.items())), entry.max_length)
            if (key, name) not in known:
                known[key, name] = _row(alias, name, peft, max_length=max_length, memory=memory, is_gpu=is_gpu)
            yield Calibrated(**{**asdict(known[key, name]), "model": alias})


def _like(alias: str) -> str:
    return did_you_mean(alias, CATALOG, otherwise="`tunery models` lists them")


def _row(alias: str, method: str, peft: Peft, *, max_length: int, memory: float, is_gpu: bool) -> Calibrated:
    length = min(max_length, CATALOG[alias].max_length or max_length)
    row = Calibrated(alias, method, length)
    dropouts = Dropouts(attention=0.0 if is_gpu else None)
    precision = "bf16" if is_gpu else pick_precision("auto", _CPU)[0]
    try:
        config = _config(alias)
        made = skeleton(config, outputs=_OUTPUTS, peft=peft, pooling=CATALOG[alias].pooling, dropouts=dropouts)
    except ModelError as error:
        return Calibrated(**{**asdict(row), "reason": str(error)})
    predicted = predict(Work(made.module, lambda rows: _inputs(rows, length), _ask, _adamw, _CPU, precision))
    if predicted is None:
        return Calibrated(**{**asdict(row), "reason": "its computation depends on the content of texts"})
    ratio = None if is_gpu else known_ratio(ratio_key(_CPU, precision, predicted.attention))
    return Calibrated(
        **{
            **asdict(row),
            "parameters": sum(parameter.numel() for parameter in made.module.parameters()),
            "weights": made.weights,
            "fixed": predicted.fixed,
            "bytes_per_token": round((ratio or 1.0) * predicted.activations.each / length),
            "micro_batch_tokens": _fitting(predicted, SHARE * memory - made.weights, ratio or 1.0) * length,
            "ratio": ratio,
        }
    )


def _fitting(predicted: Prediction, room: float, ratio: float) -> int:
    if predicted.fixed + predicted.step > room:
        return 0
    return predicted.activations.times(ratio).rows(room - predicted.fixed)


def _config(alias: str) -> PretrainedConfig:
    """Raises:
    ModelError: the catalog does not know the shape, and the model is not on this machine.
    """
    entry = CATALOG[alias]
    if entry.shape is None or entry.family is None:
        path = try_to_load_from_cache(entry.hub, "config.json")
        if not isinstance(path, str):
            raise ModelError(
                f"the catalog does not know its shape, and its config is not on this machine: `hf download {entry.hub} "
                "config.json`"
            )
        own: PretrainedConfig = AutoConfig.from_pretrained(Path(path).parent, local_files_only=True)
        return own
    config: PretrainedConfig = AutoConfig.for_model(entry.family, **entry.shape)
    return config


def _inputs(rows: int, length: int) -> Inputs:
    return {name: torch.ones(rows, length, dtype=torch.int64) for name in ("input_ids", "attention_mask")}


def _ask(module: nn.Module, inputs: Inputs) -> Mapping[str, Tensor]:
    return answers_of(module, inputs, _OUTPUTS)


def _adamw(module: nn.Module) -> Optimizer:
    spec = AdamW()
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return OPTIMIZERS[AdamW]([{"params": trained, "lr": 1e-3, "weight_decay": 0.0, "role": "encoder"}], spec)
