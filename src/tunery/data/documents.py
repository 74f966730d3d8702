"""Texts of any length become what a language model reads: windows of them, or several texts in one sequence."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from tunery.data.encode import Encoded
from tunery.data.examples import Example
from tunery.data.masking import NO_TARGET


def encode_documents(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    overlap: int = 0,
    packed: bool = False,
) -> Encoded:
    """Tokenise documents for a model that tells the next token; `token_targets` are shifted already.

    Args:
        overlap: tokens of a window that the one before it has too: they are read again, and told once.
        packed: whether several documents share a feature; then `rows` counts the features, and `texts` says what is in
            them.
    """
    ids: list[npt.NDArray[np.int32]] = []
    targets: list[npt.NDArray[np.int64]] = []
    rows: list[int] = []
    for row, example in enumerate(examples):
        tokens = np.array(_tokens(example, tokenizer), dtype=np.int32)
        shifted = np.append(tokens[1:], NO_TARGET).astype(np.int64)
        told = 0
        for start in range(0, max(1, len(tokens) - 1), max_length - overlap):
            window, target = tokens[start : start + max_length], shifted[start : start + max_length].copy()
            target[: told - start] = NO_TARGET if told > start else target[:0]
            ids.append(window)
            targets.append(target)
            rows.append(row)
            told = start + len(window)
            if told >= len(tokens) - 1:
                break
    lengths = np.array([len(window) for window in ids], dtype=np.int64)
    return Encoded(
        ids=ids, type_ids=None, lengths=lengths, rows=np.array(rows, dtype=np.int64), truncated=0, token_targets=targets
    )


def _tokens(example: Example, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    ids: list[int] = tokenizer(example.text, verbose=False)["input_ids"]
    ends = [] if tokenizer.eos_token_id is None or ids[-1:] == [tokenizer.eos_token_id] else [tokenizer.eos_token_id]
    return [*ids, *ends]
