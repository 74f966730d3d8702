"""The layers between the backbone and what a task asks for, and how a model answers by the names of these outputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast, final

from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    PretrainedConfig,
)

from tunery.errors import ModelError
from tunery.model.backbones.dropout import OWN_HEAD, Dropouts, set_all_dropouts, set_backbone_dropouts
from tunery.model.heads.answers import Answers
from tunery.model.heads.coupling import COUPLINGS
from tunery.model.heads.criteria import CriteriaHead
from tunery.model.heads.evidence import EVIDENCE_HEADS, Given
from tunery.model.heads.layers import LAYERS, Last, LevelLinear, linear
from tunery.model.heads.pooling import POOLINGS, HiddenStates, LayerMix, Pool
from tunery.model.heads.vocabulary import LanguageModel
from tunery.schema.config.model import Head, Model, NativeHead, Pooled
from tunery.schema.config.task import (
    CriteriaOutput,
    LabelOutput,
    LevelOutput,
    NumberOutput,
    Output,
    Outputs,
    TokenOutput,
    VocabularyOutput,
)


@final
class PooledHead(nn.Module):
    """Pools token states, then maps them to one vector a text."""

    def __init__(self, layers: nn.Module, *, pool: Pool) -> None:
        super().__init__()
        self.layers = layers
        self.pool = pool

    def forward(self, hidden_states: HiddenStates, inputs: Mapping[str, Tensor]) -> Tensor:
        """(batch, labels)"""
        logits: Tensor = self.layers(self.pool(hidden_states, inputs["attention_mask"]))
        return logits


@final
class TokenHead(nn.Module):
    """Maps every token state to a vector."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, hidden_states: HiddenStates, inputs: Mapping[str, Tensor]) -> Tensor:
        """(batch, tokens, labels)"""
        logits: Tensor = self.layers(hidden_states[-1])
        return logits


@final
class HeadedModel(nn.Module):
    """A backbone with one of tunery's own heads for each output."""

    def __init__(self, backbone: nn.Module, heads: nn.ModuleDict) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = heads
        self._asks = {"output_hidden_states": True} if any(isinstance(m, LayerMix) for m in heads.modules()) else {}

    def forward(self, **inputs: Tensor) -> Answers:
        """Tokens (batch, tokens) become the outputs; `unit_ids` are for the heads alone."""
        tokens = {name: tensor for name, tensor in inputs.items() if name != "unit_ids"}
        output = self.backbone(**tokens, **self._asks)
        before = output.hidden_states[:-1] if self._asks else ()
        answers = Answers()
        for name, head in self.heads.items():
            answer = head((*before, output.last_hidden_state), inputs)
            answers |= answer if isinstance(answer, dict) else {name: answer}
        return answers


def answers_of(module: nn.Module, inputs: Mapping[str, Tensor], outputs: Outputs) -> Mapping[str, Tensor]:
    """What a finished model answers, by the names of the outputs: a head of the architecture's own has one."""
    answers = module(**inputs)
    if isinstance(answers, Answers):
        return answers
    (name,) = outputs
    return {name: answers.logits}


def last_states(module: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    """What a finished model knows of each token before its head, (batch, tokens, hidden)."""
    tokens = {name: tensor for name, tensor in inputs.items() if name != "unit_ids"}
    if isinstance(module, HeadedModel):
        states: Tensor = module.backbone(**tokens).last_hidden_state
    else:
        states = module(**tokens, output_hidden_states=True).hidden_states[-1]
    return states[:, -tokens["input_ids"].shape[1] :]  # a prompt may stand before them


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

FOR_LABELS: Final = Loading(AutoModelForSequenceClassification, "SEQ_CLS", set_all_dropouts)
FOR_TOKENS: Final[Mapping[str, Loading]] = {
    "causal": Loading(AutoModelForCausalLM, "CAUSAL_LM", set_backbone_dropouts),
    "masked": Loading(AutoModelForMaskedLM, "FEATURE_EXTRACTION", set_backbone_dropouts),  # peft has no name for it
}
"""By direction."""

NATIVE: Final[Mapping[type[Output], Callable[[Any], Loading]]] = {
    LabelOutput: lambda output: FOR_LABELS,
    NumberOutput: lambda output: FOR_LABELS,
    VocabularyOutput: lambda output: FOR_TOKENS[output.direction],
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
    (output,) = outputs.values()
    return NATIVE[type(output)](output)


def make_heads(spec: Model, outputs: Outputs, *, width: int, dropout: float | None = None) -> nn.ModuleDict | None:
    """Tunery's own heads by the names of the outputs; None where the architecture's head is used.

    Args:
        spec: with a head that is no `auto`.
        width: of a token state.
        dropout: of their layers; None: the default.
    """
    if isinstance(spec.head, NativeHead):
        return None
    parts = Parts(spec, width=width, dropout=OWN_HEAD if dropout is None else dropout)
    return nn.ModuleDict({name: HEADS[type(output)](output, parts) for name, output in outputs.items()})


def assemble(model: nn.Module, heads: nn.ModuleDict | None, outputs: Outputs) -> nn.Module:
    """Join the pretrained part and tunery's own heads; or the pretrained part alone, with what it is asked by."""
    if heads is not None:
        return HeadedModel(model, heads)
    if any(isinstance(output, VocabularyOutput) for output in outputs.values()):
        return LanguageModel(model)
    return model


@dataclass(frozen=True)
class Parts:
    """What the heads of all outputs are made of."""

    spec: Model
    width: int
    """Of a token state."""
    dropout: float

    def layers(self, width: int, *, labels: int) -> nn.Module:
        """Of `model.head`: (..., width) -> (..., labels)"""
        return self.layers_before(partial(linear, outputs=labels), width)

    def layers_before(self, last: Last, width: int) -> nn.Module:
        """Of `model.head` with another last layer."""
        return LAYERS[type(self.spec.head)](self.spec.head, width=width, last=last, dropout=self.dropout)

    def pool(self) -> Pool:
        """Of `model.head`."""
        return POOLINGS[cast(Pooled, self.spec.head).pooling](self.width)


def _text_head(output: LabelOutput | NumberOutput, parts: Parts) -> nn.Module:
    return PooledHead(parts.layers(parts.width, labels=len(output.labels)), pool=parts.pool())


def _level_head(output: LevelOutput, parts: Parts) -> nn.Module:
    last = partial(LevelLinear, levels=len(output.labels))
    return PooledHead(parts.layers_before(last, parts.width), pool=parts.pool())


def _token_head(output: TokenOutput, parts: Parts) -> nn.Module:
    return TokenHead(parts.layers(parts.width, labels=len(output.labels)))


def _criteria_head(output: CriteriaOutput, parts: Parts) -> nn.Module:
    spec, sizes = parts.spec, {"width": parts.width, "labels": len(output.labels)}
    layers = partial(parts.layers, labels=len(output.labels))
    given = Given(**sizes, dropout=parts.dropout, neighbours=output.neighbours)
    return CriteriaHead(
        EVIDENCE_HEADS[type(spec.evidence_head)](spec.evidence_head, given),
        COUPLINGS[type(spec.coupling)](spec.coupling, layers=layers, pool=parts.pool, **sizes),
        dropout=parts.dropout,
        **sizes,
    )


HEADS: Final[Mapping[type[Output], Callable[[Any, Parts], nn.Module]]] = {
    LabelOutput: _text_head,
    TokenOutput: _token_head,
    CriteriaOutput: _criteria_head,
    NumberOutput: _text_head,
    LevelOutput: _level_head,
}
"""Output -> what makes one of tunery's own heads for it."""
