"""Where bottleneck adapters sit in a model, and what they do to the flow there: a tuner in the manner of peft.

What an adapter is (`bottleneck.py`, `compacter.py`) is none of this file's business: a module that maps the width of
the model to itself. peft's registry takes no names but its own, so the classes below are used directly.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast, final

from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import Tensor, nn

DEFAULT = "default"
"""What peft calls the one adapter that a method adds."""


class AdapterLayer(nn.Module, BaseTunerLayer, ABC):
    """Stands in the place of one pretrained module, and holds its adapter."""

    adapter_layer_names = ("bottleneck",)

    def __init__(self, base_layer: nn.Module, *, scale: float) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.bottleneck = nn.ModuleDict()
        self.scale = scale
        self.merged_adapters: list[str] = []
        self._active_adapter: list[str] = []

    @abstractmethod
    def forward(self, states: Tensor) -> Tensor:
        """What the base layer returns, and what the adapter adds. Last dimension of the result: hidden."""

    def put(self, adapter: nn.Module) -> None:
        """Add the adapter where the base layer's weights are."""
        self.bottleneck[DEFAULT] = adapter.to(next(self.base_layer.parameters()).device).train(self.training)

    def watch_input(self, source: nn.Module, *, within: nn.Module) -> None:
        """Called with the module that is first to read the block's input, where the config names one, and with the
        transformer layer that both are in."""

    def added(self, states: Tensor) -> Tensor:
        """scale * adapter(states), (batch, tokens, hidden)"""
        return cast(Tensor, self.scale * self.bottleneck[DEFAULT](states))


@final
class After(AdapterLayer):
    """An adapter on the output y of a linear layer: y + scale * adapter(y)."""

    def forward(self, states: Tensor) -> Tensor:
        """(batch, tokens, in) -> (batch, tokens, hidden)"""
        states = self.base_layer(states)
        return states + self.added(states)


@final
class AroundNorm(AdapterLayer):
    """An adapter at the norm over a sum s of block and residual: norm(s + scale * adapter(norm(s)))."""

    def forward(self, states: Tensor) -> Tensor:
        """(batch, tokens, hidden) -> (batch, tokens, hidden)"""
        return cast(Tensor, self.base_layer(states + self.added(self.base_layer(states))))


@final
class Beside(AdapterLayer):
    """An adapter parallel to a block: what it makes of the block's input x is added to its last layer's output."""

    def __init__(self, base_layer: nn.Module, *, scale: float) -> None:
        super().__init__(base_layer, scale=scale)
        self._seen: Tensor | None = None

    def watch_input(self, source: nn.Module, *, within: nn.Module) -> None:
        """Remember what `source` is called with first in each pass through the layer, until `forward` takes it.

        DeBERTa calls its query a second time, with the embeddings of relative positions.
        """
        within.register_forward_pre_hook(self._forget)
        source.register_forward_pre_hook(self._remember)

    def _forget(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._seen = None

    def _remember(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if self._seen is None:
            self._seen = args[0]

    def forward(self, states: Tensor) -> Tensor:
        """(batch, tokens, in) -> (batch, tokens, hidden)"""
        # Taken and forgotten, so that no graph outlives its step. A checkpointed block runs again, with its hooks.
        block_input, self._seen = cast(Tensor, self._seen), None
        return cast(Tensor, self.base_layer(states) + self.added(block_input))


@dataclass
class AdapterConfig(PeftConfig):
    """Where the adapters go and what they are made of."""

    target_modules: list[str] = field(default_factory=list)
    """Full names of the modules that are adapted."""
    layer: type[AdapterLayer] = After
    """How it is joined to the flow."""
    reads: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """For `Beside`: target -> the module whose input the adapter reads, and the transformer layer that both are in."""
    make: Callable[[], nn.Module] = nn.Identity
    """Returns a new adapter."""
    scale: float = 1.0
    described: Mapping[str, Any] = field(default_factory=dict)
    """What is written beside the saved weights."""


@final
class Tuner(BaseTuner):
    """Puts adapters into a model."""

    prefix = "bottleneck"
    tuner_layer_cls = AdapterLayer

    @staticmethod
    def _check_target_module_exists(peft_config: Any, key: str) -> bool:
        return key in peft_config.target_modules

    def _create_and_replace(
        self,
        peft_config: Any,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        layer = peft_config.layer(target, scale=peft_config.scale)
        layer.train(target.training)
        if current_key in peft_config.reads:
            source, within = map(self.model.get_submodule, peft_config.reads[current_key])
            layer.watch_input(source, within=within)
        layer.put(peft_config.make())
        self.model.set_submodule(current_key, layer)


@final
class Adapted(nn.Module):
    """A model with adapters, to be called in the model's place. Parameter names are those that peft would give."""

    def __init__(self, model: nn.Module, config: AdapterConfig) -> None:
        super().__init__()
        self.base_model = Tuner(model, config, DEFAULT)

    def forward(self, **inputs: Any) -> Any:
        """Whatever the model returns."""
        return self.base_model(**inputs)

    @property
    def described(self) -> Mapping[str, Any]:
        """What is written beside the saved weights."""
        return cast(AdapterConfig, self.base_model.peft_config[DEFAULT]).described


def saved_name(name: str) -> str:
    """A parameter's name in the model itself."""
    for wrapping, plain in (
        ("base_model.model.", ""),
        ("base_layer.", ""),
        (f".bottleneck.{DEFAULT}.", ".bottleneck."),
    ):
        name = name.replace(wrapping, plain)
    return name
