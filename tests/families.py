"""Families of models, each with a tiny config."""

from typing import Any

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 60}
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 60, "bos_token_id": 1, "eos_token_id": 2}
DISTILBERT = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "vocab_size": 60}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", TINY),
    "roberta": ("bert", TINY),
    "xlm-roberta": ("bert", TINY),
    "electra": ("bert", {**TINY, "embedding_size": 16}),
    "longformer": ("bert", {**TINY, "attention_window": [8, 8]}),
    "big_bird": ("bert", {**TINY, **IDS, "block_size": 4, "num_random_blocks": 1}),
    "distilbert": ("distilbert", DISTILBERT),
    "deberta": ("deberta", {**TINY, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}),
    "deberta-v2": ("deberta-v2", {**TINY, "relative_attention": True, "position_biased_input": False}),
    "albert": ("albert", {**TINY, "embedding_size": 16}),
    "mpnet": ("mpnet", TINY),
    "modernbert": ("modernbert", {**TINY, **IDS}),
    "gpt2": ("gpt2", GPT2),
    "llama": ("llama", TINY),
    "qwen2": ("llama", {**TINY, "num_key_value_heads": 1}),
    "qwen3": ("llama", {**TINY, "num_key_value_heads": 1, "head_dim": 16}),
}
"""Family -> the layout it must be recognised as, and a tiny config."""
