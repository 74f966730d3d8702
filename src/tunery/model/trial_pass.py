"""A few tokens through a model that is about to be trained: does it run, read the whole text, and ignore padding?"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from tunery.errors import ModelError
from tunery.model.library import without_noise

_SHORT, _LONG = "one", "one two three four five six seven eight nine ten"
_TOLERANCE = 1e-3
"""Largest difference between answers that count as equal, as a share of the largest logit; float32 needs 1e-5."""
_FAILURES = (ValueError, TypeError, RuntimeError, LookupError, AttributeError, AssertionError, NotImplementedError)

Row = Mapping[str, Sequence[int]]
"""What a tokenizer makes of one text: `input_ids`, and `token_type_ids` where the model asks for them."""


def check_answers(
    module: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    *,
    config: PretrainedConfig,
    max_length: int,
    cls: bool = False,
) -> None:
    """Ask a model about a short text alone and beside a longer one, and about the longer one with another word in it.

    Weights, modes and random state are as before afterwards.

    Args:
        module: `module(**batch).logits` is (batch, labels).
        config: of the pretrained part.
        max_length: tokens of the longer text at most.
        cls: whether the head reads the first token alone.

    Raises:
        ModelError: the model does not run, its answer to a text depends on how far that is padded, or its first token
            stands for the text and does not see it.
    """
    _refuse_sparse_blocks(config, max_length)
    short, long = (tokenizer(text, truncation=True, max_length=max_length) for text in (_SHORT, _LONG))
    with on_trial(module):
        try:
            alone = _logits(module, [short], tokenizer)[0]
            beside, answer = _logits(module, [short, long], tokenizer)
            _, changed = _logits(module, [short, _with_another_word(long, tokenizer)], tokenizer)
        except _FAILURES as error:
            raise ModelError(
                f"the model must answer a text of a few words, but this {config.model_type!r} model does not "
                f"({type(error).__name__}: {error}); take another peft.method, or another model"
            ) from error
    gap, largest = float((alone - beside).abs().max()), float(torch.stack([alone, beside, answer]).abs().max())
    if not gap <= _TOLERANCE * largest:
        raise ModelError(
            "a text must get the same answer alone and beside a longer one, but the logits of this "
            f"{config.model_type!r} model differ by {gap:.2g} (the largest is {largest:.2g}): it reads the padding; "
            "take model.head.kind=linear with pooling=mean, or another model"
        )
    if cls and len(long["input_ids"]) > 1 and torch.equal(answer, changed):
        raise ModelError(
            "model.head.pooling=cls needs a model whose first token sees the whole text, but that of this "
            f"{config.model_type!r} model sees none of the tokens after it; take model.head.pooling=mean, or "
            "model.head.kind=native"
        )


@contextmanager
def on_trial(model: nn.Module) -> Iterator[None]:
    """Within, the model is in eval mode for a few silent forward passes; modes and random state are as before then."""
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


def _logits(module: nn.Module, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """(rows, labels); the rows are padded on the right, as in training."""
    device = next(module.parameters()).device
    columns = {name: [row[name] for row in rows] for name in ("input_ids", "token_type_ids") if name in rows[0]}
    columns["attention_mask"] = [[1] * len(row["input_ids"]) for row in rows]
    fillers = {"input_ids": int(tokenizer.pad_token_id)}
    batch = {name: _padded(column, fillers.get(name, 0)).to(device) for name, column in columns.items()}
    logits: Tensor = module(**batch).logits
    return logits.float()


def _padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows])


def _with_another_word(row: Row, tokenizer: PreTrainedTokenizerBase) -> Row:
    first, *rest = row["input_ids"]
    known = (tokenizer.pad_token_id, *rest[:1])
    other = next(token for token in range(tokenizer.vocab_size) if token not in known)
    return {**row, "input_ids": [first, *([other] if rest else []), *rest[1:]]}
