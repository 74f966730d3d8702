"""What the parts of a layer are called in each family. Knows no torch."""

from typing import Final

from tunery.schema.config.peft import Target

Layout = dict[Target, tuple[str, ...]]

LAYOUTS: Final[dict[str, Layout]] = {
    # also roberta, xlm-roberta, camembert, electra, longformer (its local attention), big_bird
    "bert": {
        "query": ("attention.self.query",),
        "key": ("attention.self.key",),
        "value": ("attention.self.value",),
        "output": ("attention.output.dense",),
        "ffn.up": ("intermediate.dense",),
        "ffn.down": ("output.dense",),
    },
    "deberta-v2": {
        "query": ("attention.self.query_proj",),
        "key": ("attention.self.key_proj",),
        "value": ("attention.self.value_proj",),
        "output": ("attention.output.dense",),
        "ffn.up": ("intermediate.dense",),
        "ffn.down": ("output.dense",),
    },
    # one matrix holds query, key and value, head by head: naming any of them means all three
    "deberta": {
        "query": ("attention.self.in_proj",),
        "key": ("attention.self.in_proj",),
        "value": ("attention.self.in_proj",),
        "output": ("attention.output.dense",),
        "ffn.up": ("intermediate.dense",),
        "ffn.down": ("output.dense",),
    },
    # what is listed as a layer is a group that all layers share; every published model has one layer per group
    "albert": {
        "query": ("albert_layers.0.attention.query",),
        "key": ("albert_layers.0.attention.key",),
        "value": ("albert_layers.0.attention.value",),
        "output": ("albert_layers.0.attention.dense",),
        "ffn.up": ("albert_layers.0.ffn",),
        "ffn.down": ("albert_layers.0.ffn_output",),
    },
    "distilbert": {
        "query": ("attention.q_lin",),
        "key": ("attention.k_lin",),
        "value": ("attention.v_lin",),
        "output": ("attention.out_lin",),
        "ffn.up": ("ffn.lin1",),
        "ffn.down": ("ffn.lin2",),
    },
    "mpnet": {
        "query": ("attention.attn.q",),
        "key": ("attention.attn.k",),
        "value": ("attention.attn.v",),
        "output": ("attention.attn.o",),
        "ffn.up": ("intermediate.dense",),
        "ffn.down": ("output.dense",),
    },
    # one matrix holds query, key and value: naming any of them means all three
    "modernbert": {
        "query": ("attn.Wqkv",),
        "key": ("attn.Wqkv",),
        "value": ("attn.Wqkv",),
        "output": ("attn.Wo",),
        "ffn.up": ("mlp.Wi",),
        "ffn.down": ("mlp.Wo",),
    },
    "gpt2": {
        "query": ("attn.c_attn",),
        "key": ("attn.c_attn",),
        "value": ("attn.c_attn",),
        "output": ("attn.c_proj",),
        "ffn.up": ("mlp.c_fc",),
        "ffn.down": ("mlp.c_proj",),
    },
    # Pythia; one matrix holds query, key and value, head by head: naming any of them means all three
    "gpt_neox": {
        "query": ("attention.query_key_value",),
        "key": ("attention.query_key_value",),
        "value": ("attention.query_key_value",),
        "output": ("attention.dense",),
        "ffn.up": ("mlp.dense_h_to_4h",),
        "ffn.down": ("mlp.dense_4h_to_h",),
    },
    # also qwen2, qwen3, mistral, gemma; a gated feed-forward has two matrices that go up
    "llama": {
        "query": ("self_attn.q_proj",),
        "key": ("self_attn.k_proj",),
        "value": ("self_attn.v_proj",),
        "output": ("self_attn.o_proj",),
        "ffn.up": ("mlp.gate_proj", "mlp.up_proj"),
        "ffn.down": ("mlp.down_proj",),
    },
}
"""Logical name -> module names within one layer. The family is told by its modules, not by its name."""

CLOSING_NORMS: Final[dict[str, str]] = {
    "bert": "output.LayerNorm",
    "deberta-v2": "output.LayerNorm",
    "deberta": "output.LayerNorm",
    "albert": "albert_layers.0.full_layer_layer_norm",
    "distilbert": "output_layer_norm",
    "mpnet": "output.LayerNorm",
}
"""Layout -> the norm over feed-forward output and residual, in families that norm last."""
