"""A few tokens through a model that is about to be trained: does it run, read the whole text, and ignore padding?"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from tunery.errors import ModelError, reason_of
from tunery.model.heads.heads import answers_of
from tunery.model.peft.library import without_noise
from tunery.schema.config.task import Outputs

_SHORT, _LONG = "one", "one two three four five six seven eight nine ten"
_TOLERANCE = 1e-3
"""Largest difference between answers that count as equal, as a share of the largest logit; float32 needs 1e-5."""
_FAILURES = (ValueError, TypeError, RuntimeError, LookupError, AttributeError, AssertionError, NotImplementedError)

TOKEN_COLUMNS: Final = ("input_ids", "token_type_ids")
"""Of what a tokenizer makes of a text, what models read."""

Row = Mapping[str, Sequence[int]]
"""What a tokenizer makes of one text: `input_ids`, and `token_type_ids` where the model asks for them."""


def check_answers(
    module: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    *,
    outputs: Outputs,
    config: PretrainedConfig,
    max_length: int,
    cls: nn.Module | None = None,
) -> None:
    """Ask a model about a short text alone and beside a longer one, and about the longer one with another word in it.

    Weights, modes and random state are as before afterwards.

    Args:
        outputs: what it answers.
        config: of the pretrained part.
        max_length: tokens of the longer text at most.
        cls: the part of the module whose first token's state stands for the text, if one does.

    Raises:
        ModelError: the model does not run, its answer to a text depends on how far that is padded, or its first token
            stands for the text and does not see it.
    """
    _refuse_sparse_blocks(config, max_length)
    short, long = (tokenizer(text, truncation=True, max_length=max_length) for text in (_SHORT, _LONG))
    with on_trial(module):
        try:
            alone = _answers(module, [short], tokenizer, outputs)
            beside = _answers(module, [short, long], tokenizer, outputs)
            first_states = [
                cls(**_batch([row], tokenizer, module)).last_hidden_state[0, 0]
                for row in (long, _with_another_word(long, tokenizer))
                if cls is not None
            ]
        except _FAILURES as error:
            raise ModelError(
                f"the model must answer a text of a few words, but this {config.model_type!r} model does not "
                f"({reason_of(error)}); take another peft.method, or another model"
            ) from error
    for name in alone:
        _refuse_read_padding(alone[name][0], beside[name], config=config)
    if len(long["input_ids"]) > 1 and first_states and torch.equal(*first_states):
        raise ModelError(
            "model.head.pooling=cls needs a model whose first token sees the whole text, but that of this "
            f"{config.model_type!r} model sees none of the tokens after it; take model.head.pooling=mean, or "
            "model.head.kind=native"
        )


def _refuse_read_padding(alone: Tensor, beside: Tensor, *, config: PretrainedConfig) -> None:
    """Compare one answer to a text alone with that to the first of two texts: what this has more is about padding."""
    first = beside[0][tuple(slice(size) for size in alone.shape)]
    gap, largest = float((alone - first).abs().max()), float(max(alone.abs().max(), beside.abs().max()))
    if not gap <= _TOLERANCE * largest:
        raise ModelError(
            "a text must get the same answer alone and beside a longer one, but the logits of this "
            f"{config.model_type!r} model differ by {gap:.2g} (the largest is {largest:.2g}): it reads the padding; "
            "take model.head.kind=linear with pooling=mean, or another model"
        )


@contextmanager
def on_trial(model: nn.Module) -> Iterator[None]:
    """Within, the model is in eval mode for a few forward passes; modes and random state are as before afterwards."""
    modes = {module: module.training for module in model.modules()}
    with torch.no_grad(), torch.random.fork_rng(devices=()), without_noise():
        model.eval()
        yield
    for module, mode in modes.items():
        module.training = mode


def _refuse_sparse_blocks(config: PretrainedConfig, max_length: int) -> None:
    """BigBird attends to all tokens in batches up to a length, and to some of them in longer ones."""
    if getattr(config, "attention_type", None) != "block_sparse":
        return
    longest = (5 + 2 * config.num_random_blocks) * config.block_size
    if max_length > longest:
        raise ModelError(
            "a text must get the same answer alone and beside a longer one, but the sparse attention of this "
            f"{config.model_type!r} model changes where a batch is longer than {longest} tokens; take "
            f'model.max_length={longest}, or write `"attention_type": "original_full"` in the model\'s config.json'
        )


def _answers(
    module: nn.Module, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, outputs: Outputs
) -> dict[str, Tensor]:
    """Every answer by its name."""
    answers = answers_of(module, _batch(rows, tokenizer, module), outputs)
    return {name: answer.detach().float() for name, answer in answers.items()}


def _batch(rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, module: nn.Module) -> dict[str, Tensor]:
    """Rows that are padded on the right, as in training, where the module is."""
    device = next(module.parameters()).device
    columns = {name: [torch.tensor(row[name]) for row in rows] for name in rows[0] if name in TOKEN_COLUMNS}
    columns["attention_mask"] = [torch.ones_like(ids) for ids in columns["input_ids"]]
    padding = {"input_ids": int(tokenizer.pad_token_id)}
    return {
        name: pad_sequence(column, batch_first=True, padding_value=padding.get(name, 0)).to(device)
        for name, column in columns.items()
    }


def _with_another_word(row: Row, tokenizer: PreTrainedTokenizerBase) -> Row:
    first, *rest = row["input_ids"]
    taken = (tokenizer.pad_token_id, *rest[:1])
    other = next(token for token in range(tokenizer.vocab_size) if token not in taken)
    return {**row, "input_ids": [first, *([other] if rest else []), *rest[1:]]}
