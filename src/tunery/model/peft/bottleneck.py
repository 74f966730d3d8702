"""Bottleneck adapters: Pfeiffer et al. 2021 (arXiv 2005.00247), Houlsby et al. 2019 (arXiv 1902.00751), and the
parallel form of He et al. 2022 (arXiv 2110.04366). `adapters` takes where they go and what they are.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, final

from torch import Tensor, nn
from transformers import PreTrainedModel

from tunery.errors import ModelError
from tunery.model.backbones.catalog import Base
from tunery.model.backbones.families import closing_norm, layout_of
from tunery.model.heads.layers import ACTIVATIONS
from tunery.model.peft.adapter_files import read_trained, write_trained
from tunery.model.peft.method import LoadedBase, Method, Wrapped, unmergeable
from tunery.model.peft.tuner import Adapted, AdapterConfig, AdapterLayer, After, AroundNorm, Beside, saved_name
from tunery.schema.config.peft import Bottleneck, Compacter, Houlsby, Pfeiffer, Target

TOKENS_FIRST = frozenset({"longformer"})
"""Families whose query sees (tokens, batch, hidden), and so not the block's input as the block's output is laid out."""

Make = Callable[..., Callable[[], nn.Module]]
"""`(spec, width=)` -> what makes one adapter."""
Placement = Callable[[Any, LoadedBase], dict[str, Any]]
"""`(spec, loaded)` -> the fields of `AdapterConfig` that say where."""


@final
class BottleneckAdapter(nn.Module):
    """Down, activation, dropout, up; without the residual, which `tuner.AdapterLayer` adds."""

    def __init__(self, down: nn.Module, up: nn.Module, *, activation: nn.Module, dropout: float) -> None:
        super().__init__()
        self.down = down
        self.activation = activation
        self.dropout = nn.Dropout(dropout)
        self.up = up

    def forward(self, states: Tensor) -> Tensor:
        """(..., hidden) -> (..., hidden)"""
        added: Tensor = self.up(self.dropout(self.activation(self.down(states))))
        return added


def linear_adapter(spec: Bottleneck, *, width: int) -> Callable[[], nn.Module]:
    """A maker of adapters that add exactly nothing at the start: up is zero (He et al. 2022, released code)."""
    return partial(_make_linear, spec.bottleneck, width=width, activation=spec.activation, dropout=spec.dropout)


def _make_linear(bottleneck: int, *, width: int, activation: str, dropout: float) -> nn.Module:
    down, up = nn.Linear(width, bottleneck), nn.Linear(bottleneck, width)
    nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))
    for tensor in (down.bias, up.weight, up.bias):
        nn.init.zeros_(tensor)
    return BottleneckAdapter(down, up, activation=ACTIVATIONS[activation](), dropout=dropout)


def after_feed_forward(spec: Pfeiffer, loaded: LoadedBase) -> dict[str, Any]:
    """One place per layer, after the feed-forward block.

    Where a norm closes the block (models like BERT), the adapter reads the normed sum of block and residual, and what
    it adds is normed again: Pfeiffer et al. 2021, as the `adapters` package has it. Where the norm comes first (GPT-2,
    ModernBERT, Llama), nothing is between the block and the residual, and the adapter follows the block's output.
    """
    norm = closing_norm(loaded.layer(0))
    if norm is None:
        return _at(loaded, spec, ("ffn.down",), layer=After)
    return {"target_modules": [f"{layer}.{norm}" for layer in _layers(spec, loaded)], "layer": AroundNorm}


def after_both_blocks(spec: Houlsby | Compacter, loaded: LoadedBase) -> dict[str, Any]:
    """Two places per layer: on the outputs of attention and feed-forward, before dropout, residual and norm."""
    return _at(loaded, spec, ("output", "ffn.down"), layer=After)


def beside_both_blocks(spec: Houlsby, loaded: LoadedBase) -> dict[str, Any]:
    """The same two places; an adapter reads what enters the block: after the norm, where that comes first.

    Raises:
        ModelError: the family lays the input of its attention out in another way than the output.
    """
    family = loaded.model.config.model_type
    if family in TOKENS_FIRST:
        raise ModelError(
            f"peft.parallel=true needs an attention that reads (batch, tokens, hidden), but that of {family!r} reads "
            "(tokens, batch, hidden); take peft.parallel=false"
        )
    layout = layout_of(loaded.layer(0))
    sources: dict[Target, str] = {"output": layout["query"][0], "ffn.down": layout["ffn.up"][0]}
    layers = _layers(spec, loaded)
    reads = {
        f"{path}.{layout[target][0]}": (f"{path}.{source}", path)
        for target, source in sources.items()
        for path in layers
    }
    return {"target_modules": list(reads), "layer": Beside, "reads": reads}


def houlsby_placement(spec: Houlsby, loaded: LoadedBase) -> dict[str, Any]:
    """After both blocks or beside them, with the scale that the spec asks for."""
    placement = beside_both_blocks if spec.parallel else after_both_blocks
    return {**placement(spec, loaded), "scale": spec.scale}


def adapters(*, placement: Placement, make: Make) -> Method:
    """Adapters where `placement` says, each made by `make`; saved in tunery's own format."""

    def adapted(spec: Any, loaded: LoadedBase) -> Adapted:
        width = loaded.model.config.hidden_size
        described, whole = spec.model_dump(mode="json"), [*map(loaded.model.get_submodule, loaded.trained_whole)]
        config = AdapterConfig(make=make(spec, width=width), described=described, **placement(spec, loaded))
        model = Adapted(loaded.model, config)
        for module in whole:
            module.requires_grad_(True)
        return model

    def save(model: Adapted, folder: Path, *, base: Base) -> None:
        trained = {saved_name(name): weight for name, weight in model.named_parameters() if weight.requires_grad}
        write_trained(trained, folder, peft=model.described, base=base)

    def load(spec: Any, loaded: LoadedBase, folder: Path) -> nn.Module:
        model = adapted(spec, loaded)
        parameters = {saved_name(name): weight for name, weight in model.named_parameters()}
        needed = {name for name, weight in parameters.items() if weight.requires_grad}
        read_trained(parameters, folder, needed=needed, peft=model.described)
        return model.requires_grad_(False).eval()

    def merge(spec: Any, model: Adapted) -> PreTrainedModel:
        raise unmergeable(spec, "puts layers with an activation between those of the model")

    return Method(lambda spec, loaded: Wrapped(adapted(spec, loaded)), save, load, merge)


def _at(
    loaded: LoadedBase, spec: Bottleneck, targets: tuple[Target, ...], *, layer: type[AdapterLayer]
) -> dict[str, Any]:
    layout = layout_of(loaded.layer(0))
    names = [f"{path}.{name}" for path in _layers(spec, loaded) for target in targets for name in layout[target]]
    return {"target_modules": names, "layer": layer}


def _layers(spec: Bottleneck, loaded: LoadedBase) -> list[str]:
    """Full names of the layers that get adapters, from the input up."""
    return [f"{loaded.layers}.{index}" for index in loaded.topmost(spec.layers)]
