"""Where bottleneck adapters sit in a model, and what they do to the flow there: a tuner in the manner of peft.

What an adapter is (`bottleneck.py`, `compacter.py`) is none of this file's business: a module that maps the width of
the model to itself. peft's registry takes no names but its own, so the classes below are used directly.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast, final

from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import Tensor, nn

from tunery.errors import ModelError, did_you_mean

DEFAULT = "default"
"""Name of the adapter that a method adds; peft calls its own so, too."""


class AdapterLayer(nn.Module, BaseTunerLayer, ABC):
    """Stands in the place of one pretrained module, and holds one adapter per name."""

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
        """What the base layer returns, and what the active adapters add. Last dimension of the result: hidden."""

    def put(self, name: str, adapter: nn.Module) -> None:
        """Add an adapter where the base layer's weights are."""
        self.bottleneck[name] = adapter.to(next(self.base_layer.parameters()).device).train(self.training)

    def listen(self, source: nn.Module, *, within: nn.Module) -> None:
        """Called with the module that is first to read the block's input, where the config names one, and with the
        transformer layer that both are in."""

    def active(self) -> Iterator[nn.Module]:
        """The adapters that take part in a forward pass, first to last."""
        names = () if self.disable_adapters else self.active_adapters
        return (self.bottleneck[name] for name in names if name in self.bottleneck)


@final
class After(AdapterLayer):
    """Adapters on the output y of a linear layer: y + scale * adapter(y)."""

    def forward(self, states: Tensor) -> Tensor:
        """(batch, tokens, in) -> (batch, tokens, hidden)"""
        states = self.base_layer(states)
        for adapter in self.active():
            states = states + self.scale * adapter(states)
        return states


@final
class AroundNorm(AdapterLayer):
    """Adapters at the norm over a sum s of block and residual: norm(s + scale * adapter(norm(s)))."""

    def forward(self, states: Tensor) -> Tensor:
        """(batch, tokens, hidden) -> (batch, tokens, hidden)"""
        for adapter in self.active():
            states = states + self.scale * adapter(self.base_layer(states))
        return cast(Tensor, self.base_layer(states))


@final
class Beside(AdapterLayer):
    """Adapters parallel to a block: what they make of the block's input x is added to its last layer's output."""

    def __init__(self, base_layer: nn.Module, *, scale: float) -> None:
        super().__init__(base_layer, scale=scale)
        self._seen: Tensor | None = None

    def listen(self, source: nn.Module, *, within: nn.Module) -> None:
        """Remember what `source` is called with first in each pass through the layer, until `forward` takes it.

        DeBERTa calls its query a second time, with the embeddings of relative positions.
        """
        within.register_forward_pre_hook(self._forget)
        source.register_forward_pre_hook(self._notice)

    def _forget(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._seen = None

    def _notice(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if self._seen is None:
            self._seen = args[0]

    def forward(self, states: Tensor) -> Tensor:
        """(batch, tokens, in) -> (batch, tokens, hidden)"""
        # Taken and forgotten, so that no graph outlives its step; a checkpointed block is run, and noticed, anew.
        block_input, self._seen = self._seen, None
        states = self.base_layer(states)
        for adapter in self.active():
            states = states + self.scale * adapter(block_input)
        return states


@dataclass
class AdapterConfig(PeftConfig):
    """Where one named adapter goes and what it is made of."""

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
    """Puts adapters into a model and switches between them (`set_adapter`, `disable_adapter_layers`)."""

    prefix = "bottleneck"
    tuner_layer_cls = AdapterLayer

    def add_adapter(self, name: str, config: AdapterConfig) -> None:
        """Add another adapter, inactive and frozen until `set_adapter(name)`.

        Raises:
            ModelError: there is an adapter of that name.
        """
        if name in self.peft_config:
            raise ModelError(f"every adapter must have a name of its own, but {name!r} is taken; choose another")
        self.peft_config[name] = config
        self.inject_adapter(self.model, name)

    def set_adapter(self, adapter_name: str | list[str], inference_mode: bool = False) -> None:
        """Make one or several adapters take part, in that order, and train; all others rest.

        Raises:
            ModelError: there is no adapter of that name; peft itself would go on without any.
        """
        names = [adapter_name] if isinstance(adapter_name, str) else adapter_name
        for name in names:
            if name not in self.peft_config:
                raise ModelError(f"no adapter is called {name!r}; {did_you_mean(name, self.peft_config)}")
        super().set_adapter(names, inference_mode=inference_mode)

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
        shared = _takes(target, peft_config)
        layer = cast(AdapterLayer, target) if shared else self._replace(peft_config, target, current_key)
        layer.put(adapter_name, peft_config.make())

    def _replace(self, config: AdapterConfig, target: nn.Module, name: str) -> AdapterLayer:
        model = cast(nn.Module, self.model)
        layer = config.layer(target, scale=config.scale)
        layer.train(target.training)
        if name in config.reads:
            source, within = map(model.get_submodule, config.reads[name])
            layer.listen(source, within=within)
        model.set_submodule(name, layer)
        return layer


def _takes(target: nn.Module, config: AdapterConfig) -> bool:
    """Whether another adapter can share the layer that stands here already."""
    return type(target) is config.layer and target.scale == config.scale


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
        """What is written beside the saved weights of the adapter `default`."""
        return cast(AdapterConfig, self.base_model.peft_config[DEFAULT]).described

    @contextmanager
    def without_adapters(self) -> Iterator[None]:
        """Within, the model answers like its base (and like its own head, where that was trained)."""
        self.base_model.disable_adapter_layers()
        try:
            yield
        finally:
            self.base_model.enable_adapter_layers()


def saved_name(name: str) -> str:
    """A parameter's name in the model itself, for the adapter `default` without its name."""
    for wrapping, plain in (
        ("base_model.model.", ""),
        ("base_layer.", ""),
        (f".bottleneck.{DEFAULT}.", ".bottleneck."),
    ):
        name = name.replace(wrapping, plain)
    return name
