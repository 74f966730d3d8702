"""The layers between the backbone and what a task asks for, and how a model answers by the names of these outputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from torch import Tensor, nn
from transformers import AutoModel, AutoModelForSequenceClassification, PretrainedConfig

from tunery.errors import ModelError
from tunery.model.backbones.dropout import OWN_HEAD, Dropouts, set_all_dropouts, set_backbone_dropouts
from tunery.model.heads.pooling import POOLINGS, Pool
from tunery.schema.config.model import Head, LinearHead, MlpHead, NativeHead
from tunery.schema.config.task import LabelOutput, Output, Outputs, TokenOutput
from tunery.schema.spec import Spec

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "silu": nn.SiLU, "relu": nn.ReLU, "tanh": nn.Tanh}

WEIGHT_STD = 0.02
"""Standard deviation of new weights, as the BERT family draws them (Devlin et al. 2018, released code)."""


@final
class PooledHead(nn.Module):
    """Pools token states, then maps them to one vector a text."""

    def __init__(self, layers: nn.Module, *, pool: Pool) -> None:
        super().__init__()
        self.layers = layers
        self.pool = pool

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(batch, tokens, hidden), (batch, tokens) -> (batch, labels)"""
        logits: Tensor = self.layers(self.pool(states, mask))
        return logits


@final
class TokenHead(nn.Module):
    """Maps every token state to a vector."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(batch, tokens, hidden), (batch, tokens) -> (batch, tokens, labels)"""
        logits: Tensor = self.layers(states)
        return logits


class Answers(dict[str, Tensor]):
    """What a model with tunery's own heads answers, by the names of the outputs."""


@final
class HeadedModel(nn.Module):
    """A backbone with one of tunery's own heads for each output."""

    def __init__(self, backbone: nn.Module, heads: nn.ModuleDict) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = heads

    def forward(self, **inputs: Tensor) -> Answers:
        """Tokens (batch, tokens) become the outputs."""
        states = self.backbone(**inputs).last_hidden_state
        return Answers({name: head(states, inputs["attention_mask"]) for name, head in self.heads.items()})


def answers_of(module: nn.Module, inputs: Mapping[str, Tensor], outputs: Outputs) -> Mapping[str, Tensor]:
    """What a finished model answers, by the names of the outputs: a head of the architecture's own has one."""
    answers = module(**inputs)
    if isinstance(answers, Answers):
        return answers
    (name,) = outputs
    return {name: answers.logits}


@dataclass(frozen=True)
class Loading:
    """How the pretrained part is loaded."""

    auto_class: Any
    """The transformers class that loads it."""
    task_type: str
    """What PEFT calls a model of that class."""
    configure: Callable[[PretrainedConfig, Dropouts], None]
    """Writes the dropouts of the pretrained part into the model's config."""


BACKBONE_ALONE: Final = Loading(AutoModel, "FEATURE_EXTRACTION", set_backbone_dropouts)
"""Under tunery's own heads."""

NATIVE: Final[Mapping[type[Output], Loading]] = {
    LabelOutput: Loading(AutoModelForSequenceClassification, "SEQ_CLS", set_all_dropouts),
}
"""With the architecture's own head, by the output that it gives."""


def loading_of(spec: Head, outputs: Outputs) -> Loading:
    """How the pretrained part is loaded for a head and the outputs of a task.

    Raises:
        ModelError: no architecture has a head of its own for them.
    """
    if not isinstance(spec, NativeHead):
        return BACKBONE_ALONE
    kinds = {type(output) for output in outputs.values()}
    if len(outputs) != 1 or not kinds <= NATIVE.keys():
        raise ModelError(
            "model.head.kind=native gives one vector a text, but this task asks the model for "
            f"{', '.join(outputs)}; take model.head.kind=linear"
        )
    return NATIVE[kinds.pop()]


def make_heads(spec: Head, outputs: Outputs, *, width: int, dropout: float | None = None) -> nn.ModuleDict | None:
    """Tunery's own heads by the names of the outputs; None where the architecture's head is used.

    Args:
        width: of a token state.
        dropout: of their layers; None: the default.
    """
    if isinstance(spec, NativeHead):
        return None
    sizes = {"width": width, "dropout": OWN_HEAD if dropout is None else dropout}
    return nn.ModuleDict(
        {
            name: HEADS[type(output), type(spec)](spec, labels=len(output.labels), **sizes)
            for name, output in outputs.items()
        }
    )


def assemble(model: nn.Module, heads: nn.ModuleDict | None) -> nn.Module:
    """Join the pretrained part and tunery's own heads, if there are any."""
    return model if heads is None else HeadedModel(model, heads)


def _linear_layers(spec: LinearHead, *, width: int, labels: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Dropout(dropout), _linear(width, labels))


def _mlp_layers(spec: MlpHead, *, width: int, labels: int, dropout: float) -> nn.Module:
    hidden = (nn.Dropout(dropout), _linear(width, spec.hidden), ACTIVATIONS[spec.activation]())
    return nn.Sequential(*hidden, nn.Dropout(dropout), _linear(spec.hidden, labels))


def _linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=WEIGHT_STD)
    nn.init.zeros_(layer.bias)
    return layer


HEADS: Final[Mapping[tuple[type[Output], type[Spec]], Callable[..., nn.Module]]] = {
    (LabelOutput, LinearHead): lambda spec, **sizes: PooledHead(
        _linear_layers(spec, **sizes), pool=POOLINGS[spec.pooling]
    ),
    (LabelOutput, MlpHead): lambda spec, **sizes: PooledHead(_mlp_layers(spec, **sizes), pool=POOLINGS[spec.pooling]),
    (TokenOutput, LinearHead): lambda spec, **sizes: TokenHead(_linear_layers(spec, **sizes)),
    (TokenOutput, MlpHead): lambda spec, **sizes: TokenHead(_mlp_layers(spec, **sizes)),
}
"""What builds one of tunery's own heads: by the output that it gives, and by the spec of its layers."""
