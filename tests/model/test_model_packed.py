"""Texts that share a sequence get the answers that they get alone, in every family that can keep them apart."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from conftest import byte_pairs
from tunery.data.batches import Collator, EncodedDataset, pad
from tunery.data.documents import encode_documents
from tunery.data.examples import Example
from tunery.errors import ModelError
from tunery.model.heads.vocabulary import LanguageModel
from tunery.model.trial_pass import check_answers
from tunery.schema.config.task import VocabularyOutput

TOKENIZER = byte_pairs(bos_token="<|endoftext|>", eos_token="<|endoftext|>")
PADDING = TOKENIZER.eos_token_id
SIZES: dict[str, Any] = {
    "vocab_size": len(TOKENIZER),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": PADDING,
    "eos_token_id": PADDING,
    "pad_token_id": PADDING,
}
GROUPED = {**SIZES, "num_key_value_heads": 1, "intermediate_size": 64}
APART: dict[str, Callable[[], PretrainedConfig]] = {
    "gpt2": lambda: GPT2Config(**SIZES),
    "gpt_neox": lambda: GPTNeoXConfig(**SIZES, intermediate_size=64),
    "llama": lambda: LlamaConfig(**GROUPED),
    "qwen2": lambda: Qwen2Config(**GROUPED),
    "qwen3": lambda: Qwen3Config(**GROUPED, head_dim=16),
    "mistral": lambda: MistralConfig(**GROUPED, sliding_window=4),
}
"""Models that can keep texts apart; the last sees only a few tokens back."""
TOGETHER: dict[str, Callable[[], PretrainedConfig]] = {
    "bloom": lambda: BloomConfig(vocab_size=len(TOKENIZER), hidden_size=32, n_layer=2, n_head=2),
    "opt": lambda: OPTConfig(**SIZES, ffn_dim=64, word_embed_proj_dim=32),
}
"""Models that cannot: their positions are distances, or counted from the mask."""
TEXTS = ["a red door", "go", "he said that it was a long day, and went home", "not now", "we all want some more of it"]


def language_model(config: PretrainedConfig, attention: str) -> LanguageModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LanguageModel(AutoModelForCausalLM.from_config(config, attn_implementation=attention)).eval()


def losses_by_definition(model: LanguageModel, text: str) -> torch.Tensor:
    """Of each token of a text after the first, and of the end, from those before it and nothing else."""
    ids = torch.tensor([*TOKENIZER(text)["input_ids"], TOKENIZER.eos_token_id])
    logits = model.backbone(input_ids=ids[None, :-1]).logits[0]
    return F.cross_entropy(logits, ids[1:], reduction="none")


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", APART)
def test_texts_that_share_a_sequence_are_told_as_if_alone(family: str, attention: str) -> None:
    model = language_model(APART[family](), attention)
    packed = encode_documents(
        [Example(text) for text in TEXTS], TOKENIZER, direction="causal", max_length=20, training=True, packing=True
    )
    assert packed.segments is not None and packed.texts is not None and len(packed.ids) < len(TEXTS)
    assert len({len(ids) for ids in packed.ids}) > 1  # so that there is padding
    with torch.no_grad():
        inputs = pad(packed, range(len(packed.ids)), pad_id=PADDING)
        losses = model(**inputs)["token_loss"]
        for feature, rows in enumerate(packed.texts):
            for segment, row in enumerate(rows.tolist()):
                here = losses[feature][inputs["segments"][feature] == segment]
                torch.testing.assert_close(here, losses_by_definition(model, TEXTS[row]), rtol=1e-5, atol=1e-5)


def test_a_step_of_packed_sequences_is_cut_by_padded_tokens_and_adds_up() -> None:
    model = language_model(APART["gpt2"](), "sdpa")
    packed = encode_documents(
        [Example(text) for text in TEXTS * 4], TOKENIZER, direction="causal", max_length=20, training=True, packing=True
    )
    rows = [EncodedDataset(packed)[0, feature] for feature in range(len(packed.ids))]
    batches = Collator(PADDING, max_tokens=120)(rows)
    assert len(batches) > 1 and all(batch.inputs["input_ids"].numel() <= 120 for batch in batches)
    with torch.no_grad():
        total = sum(float(model(**batch.inputs)["token_loss"].sum()) for batch in batches)
        expected = 4 * sum(float(losses_by_definition(model, text).sum()) for text in TEXTS)
    assert total == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("family", TOGETHER)
def test_a_model_that_reads_across_texts_is_found_before_training(family: str) -> None:
    config = TOGETHER[family]()
    tokenizer = byte_pairs(bos_token="<|endoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>")

    def check(*, packed: bool) -> None:
        check_answers(
            language_model(config, "eager"),
            tokenizer,
            outputs={"tokens": VocabularyOutput(direction="causal", packed=packed)},
            config=config,
            max_length=64,
        )

    check(packed=False)
    with pytest.raises(ModelError, match=r"task\.packing=true .* reads across them; write task\.packing=false"):
        check(packed=True)
