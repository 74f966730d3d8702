"""How strong dropout is in head, encoder and attention, and where each family keeps these in its config."""

from dataclasses import dataclass
from typing import NamedTuple, final

from transformers import PretrainedConfig

from tunery.errors import ModelError


@final
@dataclass(frozen=True)
class Dropouts:
    """Probabilities of dropout by place; None keeps what the pretrained config says."""

    head: float | None = None
    """Before the layers of the head; in tunery's own head, None means `OWN_HEAD`."""
    encoder: float | None = None
    """On embeddings and on what each block adds."""
    attention: float | None = None
    """On attention weights."""


AS_PRETRAINED = Dropouts()

OWN_HEAD = 0.1
"""Dropout of tunery's own head where nothing else is asked for."""


class Fields(NamedTuple):
    """Config fields that the code of a family reads, by place; empty where it reads none."""

    head: tuple[str, ...]
    encoder: tuple[str, ...]
    attention: tuple[str, ...]


_BERT = Fields(("classifier_dropout",), ("hidden_dropout_prob",), ("attention_probs_dropout_prob",))
_LLAMA = Fields((), (), ("attention_dropout",))

FIELDS: dict[str, Fields] = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "big_bird": _BERT,
    "albert": _BERT._replace(head=("classifier_dropout_prob",)),
    "deberta": _BERT._replace(head=("cls_dropout",)),
    "deberta-v2": _BERT._replace(head=("cls_dropout",)),
    # their native heads read the encoder's field and follow it
    "longformer": _BERT._replace(head=()),
    "mpnet": _BERT._replace(head=()),
    "distilbert": Fields(("seq_classif_dropout",), ("dropout",), ("attention_dropout",)),
    # attention_dropout is on the attention weights and on what the attention adds
    "modernbert": Fields(("classifier_dropout",), ("embedding_dropout", "mlp_dropout"), ("attention_dropout",)),
    "gpt2": Fields((), ("embd_pdrop", "resid_pdrop"), ("attn_pdrop",)),
    "gpt_neox": Fields((), ("hidden_dropout",), ("attention_dropout",)),
    "llama": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "mistral": _LLAMA,
    "gemma": _LLAMA,
}
"""Family (`config.model_type`) -> where it keeps its dropouts."""

_REFUSALS = Fields(
    head=(
        "a head with a dropout of its own, but the native head of {family!r} has none",
        "remove it, or take model.head.kind=linear",
    ),
    encoder=("a dropout on embeddings or blocks, but {family!r} has none", "remove it"),
    attention=("a dropout on attention weights, but {family!r} has none", "remove it"),
)
"""Place -> (what is missing, the remedy)."""


def set_all_dropouts(config: PretrainedConfig, dropouts: Dropouts) -> None:
    """Write head, encoder and attention dropout into the config of a model with its native head.

    A head that falls back to the encoder's value keeps the pretrained one when the encoder's changes.

    Raises:
        ModelError: a value is asked for that the family does not read.
    """
    if dropouts.head is not None:
        _write(config, "head", dropouts.head)
    elif dropouts.encoder is not None:
        fields = FIELDS.get(config.model_type, Fields((), (), ()))
        for field in fields.head:
            if getattr(config, field, None) is None:
                setattr(config, field, getattr(config, fields.encoder[0]))
    set_backbone_dropouts(config, dropouts)


def set_backbone_dropouts(config: PretrainedConfig, dropouts: Dropouts) -> None:
    """Write encoder and attention dropout into the config of a model under tunery's own head.

    Raises:
        ModelError: a value is asked for that the family does not read.
    """
    if dropouts.encoder is not None:
        _write(config, "encoder", dropouts.encoder)
    if dropouts.attention is not None:
        _write(config, "attention", dropouts.attention)


def _write(config: PretrainedConfig, where: str, probability: float) -> None:
    family, asked = config.model_type, f"regularization.{where}_dropout={probability}"
    if family not in FIELDS:
        raise ModelError(
            f"{asked} needs a family whose dropouts are known ({', '.join(sorted(FIELDS))}), but this model is of "
            f"{family!r}; remove it, or take another model"
        )
    fields: tuple[str, ...] = getattr(FIELDS[family], where)
    if not fields:
        missing, remedy = getattr(_REFUSALS, where)
        raise ModelError(f"{asked} needs {missing.format(family=family)}; {remedy}")
    for field in fields:
        setattr(config, field, probability)
