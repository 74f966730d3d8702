"""The seam between a model and a way of training it. `peft.METHODS` lists the ways."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from torch import Tensor, nn
from transformers import PreTrainedModel

from tunery.errors import ModelError
from tunery.model.backbones.catalog import Base
from tunery.model.backbones.structure import ModelStructure
from tunery.schema.config.peft import Topmost

_TOPMOST: Final[Mapping[Topmost, int | None]] = {"all": None, "top4": 4, "top8": 8}
"""How many layers, counted from the output."""


@dataclass(frozen=True)
class LoadedBase:
    """A base model that has been read, as a method needs to see it."""

    model: PreTrainedModel
    structure: ModelStructure
    prefix: str
    """Where the backbone is within the model: `bert.`, or empty."""
    trained_whole: tuple[str, ...]
    """Names of modules that are trained whatever the method: the model's own head, what was never pretrained, and
    what the config unfreezes."""
    task_type: str
    """What peft calls a model with such a head."""

    @property
    def backbone(self) -> nn.Module:
        """The pretrained encoder or decoder."""
        return self.model.get_submodule(self.prefix.removesuffix("."))

    @property
    def layers(self) -> str:
        """Name of the list of layers within the model."""
        return self.prefix + self.structure.path

    def layer(self, index: int) -> nn.Module:
        """One layer, counted from the input."""
        return self.structure.layer(self.backbone, index)

    def topmost(self, layers: Topmost) -> range:
        """The numbers of these layers, from the input up."""
        count = self.structure.count
        return range(max(0, count - (_TOPMOST[layers] or count)), count)


class RankAllocator(ABC):
    """Moves ranks between the updates of a method while it is trained, as PEFT's class of that name does. Called by the
    trainer, in this order in every step."""

    @abstractmethod
    def plan(self, total_steps: int) -> None:
        """Called once, before the first step or before `load`."""

    @abstractmethod
    def penalty(self) -> Tensor:
        """A scalar that is added to the loss of the step."""

    @abstractmethod
    def after_step(self, step: int) -> None:
        """Called after optimizer step number `step` (from 1), while the gradients are still there."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Whatever a resumed run needs besides the trained parameters."""

    @abstractmethod
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put that state back."""

    @abstractmethod
    def ranks(self) -> dict[str, int]:
        """Rank of every adapted module, by plain module name, as the parameters are now."""


@dataclass(frozen=True)
class Wrapped:
    """A model that a method has made trainable."""

    module: nn.Module
    """To be called in the model's place."""
    lr_scale: Mapping[str, float] = field(default_factory=dict)
    """Parameter name in `module` -> factor on the learning rate, where it is not 1."""
    no_decay: frozenset[str] = frozenset()
    """Names of parameters whose neutral value is not zero, so that weight decay would do harm."""
    rank_allocator: RankAllocator | None = None
    """What moves ranks while the model is trained, if anything does."""
    virtual_tokens: int = 0
    """How many tokens are put before those of the text; they need positions too."""


class Save(Protocol):
    """Writes a wrapped model: so that the ecosystem's own loader reads it, where the method is standard."""

    def __call__(self, model: Any, folder: Path, *, base: Base) -> None: ...


@dataclass(frozen=True)
class Method:
    """One way to make a model trainable. Draws random numbers from torch's global generator only."""

    wrap: Callable[[Any, LoadedBase], Wrapped]
    """`(spec, loaded)`: mark what is trained, or add it, and freeze the rest; `loaded.trained_whole` is trained in any
    case.

    Raises:
        ModelError: the model has not what the method needs.
    """
    save: Save
    load: Callable[[Any, LoadedBase, Path], nn.Module]
    """`(spec, loaded, folder)`: read back what `save` wrote, onto a freshly loaded base, in eval mode and never to be
    trained.

    Raises:
        ModelError: the folder cannot be read, or does not fit the base.
    """
    merge: Callable[[Any, Any], PreTrainedModel]
    """`(spec, model)`: fold what `load` has read into the model's own weights, so that nothing of the method is left.

    Raises:
        ModelError: the method is no change of weights.
    """
    is_injectable: bool = False
    """Whether `AutoModel.from_pretrained` reads what `save` wrote as it was trained: transformers injects an adapter's
    layers into the base (`peft.inject_adapter_in_model`), without the `PeftModel` around it."""


def unmergeable(spec: Any, why: str) -> ModelError:
    """The error of a method that cannot be folded into weights."""
    return ModelError(
        f"only what changes weights can be merged, but peft.method={spec.method} {why}; export without --merge"
    )


def plain_name(name: str) -> str:
    """A parameter's or module's name without what peft puts around it."""
    for wrapping in (
        "base_model.model.",
        "base_model.",
        "modules_to_save.default.",
        "ln_tuning_layers.default.",
        "base_layer.",
    ):
        name = name.replace(wrapping, "")
    return name
