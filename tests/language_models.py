"""Tiny random language models of many families, with tokenizers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
import transformers as hf

from conftest import TINY, byte_pairs, save, word_pieces
from tunery.schema.config.task import VocabularyOutput

POSITIONS: Final = {**TINY, "max_position_embeddings": 514}
"""Where they are counted from the padding token."""
ONE_KEY: Final = {**TINY, "num_key_value_heads": 1, "head_dim": 16}


def _ends() -> Any:
    return byte_pairs(bos_token="<|endoftext|>", eos_token="<|endoftext|>")


def _masks() -> Any:
    marks = {"bos_token": "<s>", "cls_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "sep_token": "</s>"}
    return byte_pairs(**marks, unk_token="<unk>", mask_token="<mask>")


def _pieces() -> Any:
    return word_pieces(model_input_names=["input_ids", "attention_mask"])


class Family(NamedTuple):
    """How a tiny model of it is made."""

    tokenizer: Callable[[], Any]
    model: Any
    config: Any
    sizes: dict[str, Any]
    bare: Any = None
    """The class without the head."""


_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 512}
_DISTIL = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
CAUSAL: Final[dict[str, Family]] = {
    "gpt2": Family(_ends, hf.GPT2LMHeadModel, hf.GPT2Config, _GPT2, hf.GPT2Model),
    "llama": Family(_ends, hf.LlamaForCausalLM, hf.LlamaConfig, TINY, hf.LlamaModel),
    "qwen2": Family(_ends, hf.Qwen2ForCausalLM, hf.Qwen2Config, {**TINY, "num_key_value_heads": 1}),
    "qwen3": Family(_ends, hf.Qwen3ForCausalLM, hf.Qwen3Config, ONE_KEY),
    "gpt_neox": Family(_ends, hf.GPTNeoXForCausalLM, hf.GPTNeoXConfig, TINY),
    "gemma2": Family(
        _ends, hf.Gemma2ForCausalLM, hf.Gemma2Config, {**ONE_KEY, "query_pre_attn_scalar": 16, "sliding_window": 8}
    ),
    "cohere": Family(_ends, hf.CohereForCausalLM, hf.CohereConfig, TINY),
    "granite": Family(_ends, hf.GraniteForCausalLM, hf.GraniteConfig, {**TINY, "logits_scaling": 8.0}),
}
MASKED: Final[dict[str, Family]] = {
    "bert": Family(_pieces, hf.BertForMaskedLM, hf.BertConfig, TINY, hf.BertModel),
    "roberta": Family(_masks, hf.RobertaForMaskedLM, hf.RobertaConfig, POSITIONS, hf.RobertaModel),
    "distilbert": Family(_pieces, hf.DistilBertForMaskedLM, hf.DistilBertConfig, _DISTIL, hf.DistilBertModel),
    "electra": Family(_pieces, hf.ElectraForMaskedLM, hf.ElectraConfig, {**TINY, "embedding_size": 16}),
    "modernbert": Family(_pieces, hf.ModernBertForMaskedLM, hf.ModernBertConfig, TINY),
    "deberta-v2": Family(_pieces, hf.DebertaV2ForMaskedLM, hf.DebertaV2Config, TINY),
}
FAMILIES: Final = {**CAUSAL, **MASKED}


def write_model(name: str, folder: Path, *, bare: bool = False) -> Path:
    """A folder with a model of a family; `bare`: without the head."""
    family = FAMILIES[name]
    tokenizer = family.tokenizer()
    ends = {f"{end}_token_id": getattr(tokenizer, f"{end}_token_id") for end in ("bos", "eos", "pad", "cls", "sep")}
    config = family.config(vocab_size=len(tokenizer), **ends, **family.sizes)
    torch.manual_seed(0)
    return save(folder, lambda: (family.bare if bare else family.model)(config), tokenizer)


def output_of(name: str, *, packed: bool = True) -> dict[str, VocabularyOutput]:
    """What the model of a family is asked."""
    if name in MASKED:
        return {"tokens": VocabularyOutput(direction="masked")}
    return {"tokens": VocabularyOutput(direction="causal", packed=packed)}


def batch_of(tokenizer: Any, name: str, *texts: str) -> dict[str, torch.Tensor]:
    """Padded texts of which every token is to be told, from itself or from those before it."""
    batch = dict(tokenizer([*texts], padding=True, padding_side="right", return_tensors="pt"))
    ids, mask = batch["input_ids"], batch["attention_mask"]
    targets = ids.where(mask == 1, -100)
    if name in CAUSAL:
        targets = torch.cat([targets[:, 1:], torch.full_like(targets[:, :1], -100)], dim=1)
    return {**batch, "targets": targets}
