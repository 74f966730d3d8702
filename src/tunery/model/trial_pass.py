"""A few tokens through a model that is about to be trained: does it run, read the whole text, and ignore padding?"""

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from tunery.errors import ModelError, reason_of
from tunery.model.heads.heads import answers_of
from tunery.model.heads.vocabulary import NO_TARGET
from tunery.model.on_trial import FAILURES, on_trial
from tunery.schema.config.task import Outputs, VocabularyOutput

_SHORT, _FEW, _LONG = "one", "one two three", "one two three four five six seven eight nine ten"
_TOLERANCE = 1e-3
"""Largest difference between answers that count as equal, as a share of the largest logit; float32 needs 1e-5."""

TOKEN_COLUMNS: Final = ("input_ids", "token_type_ids")
"""Of what a tokenizer makes of a text, what models read."""

_READ: Final = (*TOKEN_COLUMNS, "targets", "segments")

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
    for output in outputs.values():
        if isinstance(output, VocabularyOutput):
            return _check_tokens(module, tokenizer, output, outputs, config=config, max_length=max_length)
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
        except FAILURES as error:
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


def _check_tokens(
    module: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    output: VocabularyOutput,
    outputs: Outputs,
    *,
    config: PretrainedConfig,
    max_length: int,
) -> None:
    """Ask a language model about texts alone, beside each other and, if it is trained so, one after the other; and
    about one whose last token is another.

    Raises:
        ModelError: as `check_answers` does; or the model reads in the other direction than the task asks for, or one
            text in another.
    """
    few, long = (_told(tokenizer(text, truncation=True, max_length=max_length), output) for text in (_FEW, _LONG))
    with on_trial(module):
        try:
            alone, whole = (_losses(module, [row], tokenizer, outputs)[0] for row in (few, long))
            beside = _losses(module, [few, long], tokenizer, outputs)[0]
            changed = _losses(module, [_with_another_end(long, tokenizer)], tokenizer, outputs)[0]
            packed = _losses(module, [_packed(long, few)], tokenizer, outputs)[0] if output.packed else None
        except FAILURES as error:
            raise ModelError(
                f"the model must answer a text of a few words, but this {config.model_type!r} model does not "
                f"({reason_of(error)}); take another peft.method, or another model"
            ) from error
    if not _are_close(alone, beside[: len(alone)]):
        raise ModelError(
            f"a text must get the same answer alone and beside a longer one, but this {config.model_type!r} model "
            "reads the padding; take another peft.method, or another model"
        )
    sees_later = len(whole) > 3 and not _are_close(whole[:-2], changed[:-2], tolerance=1e-6)
    if len(whole) > 3 and sees_later != (output.direction == "masked"):
        reads, other = ("in both directions", "mlm") if sees_later else ("from left to right only", "causal_lm")
        raise ModelError(
            f"task.kind={'mlm' if other == 'causal_lm' else 'causal_lm'} needs another model: this "
            f"{config.model_type!r} model reads {reads}; take task.kind={other}, or another model"
        )
    if packed is not None and not _are_close(torch.cat([whole, alone]), packed):
        raise ModelError(
            f"task.packing=true puts several texts into one sequence, but this {config.model_type!r} model with this "
            "peft.method reads across them; write task.packing=false"
        )


def _told(row: Row, output: VocabularyOutput) -> Row:
    """A text with all of its tokens to be told."""
    ids = row["input_ids"]
    return {**row, "targets": [*ids[1:], NO_TARGET] if output.direction == "causal" else ids}


def _packed(first: Row, second: Row) -> Row:
    """Two texts one after the other."""
    both = {name: [*first[name], *second[name]] for name in first if name in _READ}
    return {**both, "segments": [0] * len(first["input_ids"]) + [1] * len(second["input_ids"])}


def _with_another_end(row: Row, tokenizer: PreTrainedTokenizerBase) -> Row:
    ids = row["input_ids"]
    other = next(token for token in range(tokenizer.vocab_size) if token not in (tokenizer.pad_token_id, ids[-1]))
    return {**row, "input_ids": [*ids[:-1], other]}


def _losses(module: nn.Module, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, outputs: Outputs) -> Tensor:
    """(texts, tokens)"""
    return _answers(module, rows, tokenizer, outputs)["token_loss"]


def _are_close(one: Tensor, other: Tensor, tolerance: float = 1e-4) -> bool:
    return float((one - other).abs().max()) <= tolerance * float(max(one.abs().max(), other.abs().max()))


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
    columns = {name: [torch.tensor(row[name]) for row in rows] for name in rows[0] if name in _READ}
    columns["attention_mask"] = [torch.ones_like(ids) for ids in columns["input_ids"]]
    padding = {"input_ids": int(tokenizer.pad_token_id), "targets": NO_TARGET}
    return {
        name: pad_sequence(column, batch_first=True, padding_value=padding.get(name, 0)).to(device)
        for name, column in columns.items()
    }


def _with_another_word(row: Row, tokenizer: PreTrainedTokenizerBase) -> Row:
    first, *rest = row["input_ids"]
    taken = (tokenizer.pad_token_id, *rest[:1])
    other = next(token for token in range(tokenizer.vocab_size) if token not in taken)
    return {**row, "input_ids": [first, *([other] if rest else []), *rest[1:]]}
