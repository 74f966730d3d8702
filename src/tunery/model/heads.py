"""The layers between the backbone and the labels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor, nn
from transformers import AutoModel, AutoModelForSequenceClassification, PretrainedConfig
from transformers.modeling_outputs import SequenceClassifierOutput

from tunery.model.dropout import OWN_HEAD, Dropouts, set_all_dropouts, set_backbone_dropouts
from tunery.model.pooling import POOLINGS, Pool
from tunery.schema.model import LinearHead, MlpHead, NativeHead
from tunery.schema.spec import Spec

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "silu": nn.SiLU, "relu": nn.ReLU, "tanh": nn.Tanh}

WEIGHT_STD = 0.02
"""Standard deviation of new weights, as the BERT family draws them (Devlin et al. 2018, released code)."""


@final
class PooledHead(nn.Module):
    """Pools token states, then maps them to logits."""

    def __init__(self, layers: nn.Module, *, pool: Pool) -> None:
        super().__init__()
        self.layers = layers
        self.pool = pool

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(batch, tokens, hidden), (batch, tokens) -> (batch, labels)"""
        logits: Tensor = self.layers(self.pool(states, mask))
        return logits


@final
class HeadedModel(nn.Module):
    """A backbone with a head of ours."""

    def __init__(self, backbone: nn.Module, head: PooledHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, **inputs: Tensor) -> SequenceClassifierOutput:
        """Tokens (batch, tokens) become logits (batch, labels). `labels` are left to the caller's loss."""
        inputs.pop("labels", None)
        states = self.backbone(**inputs).last_hidden_state
        return SequenceClassifierOutput(logits=self.head(states, inputs["attention_mask"]))


@dataclass(frozen=True)
class HeadKind:
    """What a kind of head asks of the loading, and how its layers are made."""

    auto_class: Any
    """The transformers class that loads the pretrained part."""
    task_type: str
    """What PEFT calls a model of that class."""
    configure: Callable[[PretrainedConfig, Dropouts], None]
    """Writes the dropouts of the pretrained part into the model's config."""
    make: Callable[..., PooledHead | None]
    """`(spec, width=, labels=, dropout=)` -> our head, or None where the architecture brings its own."""


def assemble(carrier: nn.Module, head: PooledHead | None) -> nn.Module:
    """Join the pretrained part and our head, if there is one."""
    return carrier if head is None else HeadedModel(carrier, head)


def linear_head(spec: LinearHead, *, width: int, labels: int, dropout: float | None = None) -> PooledHead:
    """Dropout and one linear layer. (batch, width) -> (batch, labels)"""
    layers = nn.Sequential(_dropout(dropout), _linear(width, labels))
    return PooledHead(layers, pool=POOLINGS[spec.pooling])


def mlp_head(spec: MlpHead, *, width: int, labels: int, dropout: float | None = None) -> PooledHead:
    """Dropout, hidden layer, activation, dropout, linear layer. (batch, width) -> (batch, labels)"""
    hidden = (_dropout(dropout), _linear(width, spec.hidden), ACTIVATIONS[spec.activation]())
    layers = nn.Sequential(*hidden, _dropout(dropout), _linear(spec.hidden, labels))
    return PooledHead(layers, pool=POOLINGS[spec.pooling])


def _dropout(asked: float | None) -> nn.Dropout:
    return nn.Dropout(OWN_HEAD if asked is None else asked)


def _linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=WEIGHT_STD)
    nn.init.zeros_(layer.bias)
    return layer


def _architecture_brings_it(spec: NativeHead, *, width: int, labels: int, dropout: float | None = None) -> None:
    return None


HEADS: dict[type[Spec], HeadKind] = {
    NativeHead: HeadKind(AutoModelForSequenceClassification, "SEQ_CLS", set_all_dropouts, _architecture_brings_it),
    LinearHead: HeadKind(AutoModel, "FEATURE_EXTRACTION", set_backbone_dropouts, linear_head),
    MlpHead: HeadKind(AutoModel, "FEATURE_EXTRACTION", set_backbone_dropouts, mlp_head),
}
