"""Texts of language models become tokens, however long they are, and which of them are to be told."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from tunery.data.chat import conversation_tokens, marks_of, with_offsets, with_template
from tunery.data.encode import chunks, unit_ids_of
from tunery.data.examples import JOINT, Example
from tunery.data.reading.turns import Completion, Conversation
from tunery.data.units import words
from tunery.errors import DataError

PIECE, SHARED = 100_000, 2_000
"""Characters of a long text that are tokenised at once, since tokens take some hundred bytes each until they are in an
array; and those that two neighbouring pieces share."""
_RUN: Final = 8
"""Tokens before and behind a place where two pieces are joined, which both have."""
BETWEEN: Final = "\n\n"
"""Between the texts of several columns."""

Ids = npt.NDArray[np.int32]


class TextTokens(NamedTuple):
    """The tokens of one text, without special tokens around them."""

    ids: Ids
    """(tokens,)"""
    words: npt.NDArray[np.int32] | None
    """Number of the word that each token is of, ascending, -1: none, (tokens,); None where they were not asked for."""
    told: npt.NDArray[np.bool_] | None = None
    """Whether each token is to be told, (tokens,); None: all are."""
    is_framed: bool = True
    """Whether special tokens belong around it; a chat template has its own."""
    is_joined: bool = False
    """Whether a prompt has other tokens alone than before its completion, since one token is of both."""


class Frame(NamedTuple):
    """The special tokens that a tokenizer has before and behind a text."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def frame_of(tokenizer: PreTrainedTokenizerBase) -> Frame:
    """What it puts around a text by itself."""
    bare, whole = (tokenizer("a", add_special_tokens=added)["input_ids"] for added in (False, True))
    places = (place for place in range(len(whole) - len(bare) + 1) if whole[place : place + len(bare)] == bare)
    first = next(places, len(whole)) if bare else len(whole)
    return Frame(tuple(whole[:first]), tuple(whole[first + len(bare) :]))


def text_tokens(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, *, with_words: bool, completion_only: bool
) -> Iterator[TextTokens]:
    """The tokens of each text, prompt with completion, or conversation, in their order.

    Args:
        with_words: whether the word of each token is asked for.
        completion_only: whether only what follows a prompt, or what an assistant says, is to be told.

    Raises:
        DataError: words, or what an assistant says, are asked of a tokenizer that does not know the characters of its
            tokens, or a chat template refuses a conversation.
    """
    row = 0
    for chunk in chunks(examples):
        if any(example.target is not None for example in chunk):
            yield from (
                _of_turns(example, tokenizer, name=example.name(row + number), completion_only=completion_only)
                for number, example in enumerate(chunk)
            )
        elif len(chunk) == 1 and len(chunk[0].text) > PIECE and tokenizer.is_fast:
            yield _of_long_text(chunk[0].text.replace(JOINT, BETWEEN), tokenizer, with_words=with_words)
        else:
            yield from _of_texts([example.text.replace(JOINT, BETWEEN) for example in chunk], tokenizer, with_words)
        row += len(chunk)


def long_text_ids(
    text: str, tokenizer: PreTrainedTokenizerBase, *, piece: int = PIECE, shared: int = SHARED
) -> Iterator[tuple[Ids, npt.NDArray[np.int64]]]:
    """The tokens of a long text, which is tokenised piece by piece, with begin and end of each in the text.

    Pieces share some characters. They are joined at a place, near the middle of these, around which both have the same
    tokens: so the tokens are those of the whole text, although a tokenizer may cut the ends of a piece in another way.

    Args:
        tokenizer: a fast one, which knows the characters of its tokens.
        piece: characters that are tokenised at once.
        shared: characters that two neighbouring pieces share, less than `piece`.
    """
    ids, offsets = _arrays(text[:piece], tokenizer)
    end = piece
    while end < len(text):
        start = end - shared
        end = start + piece
        next_ids, next_offsets = _arrays(text[start:end], tokenizer)
        next_offsets += start
        last, first = _join(ids, offsets, next_ids, next_offsets, wanted=start + shared // 2)
        yield ids[:last], offsets[:last]
        ids, offsets = next_ids[first:], next_offsets[first:]
    yield ids, offsets


def _of_texts(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, with_words: bool) -> Iterator[TextTokens]:
    if with_words:
        _require_offsets(tokenizer, "whole words are found in texts (task.kind=mlm)")
    options: dict[str, Any] = {"return_offsets_mapping": True} if with_words else {}
    batch = tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False, **options)
    for number, (text, ids) in enumerate(zip(texts, batch["input_ids"], strict=True)):
        numbers = unit_ids_of(_pairs(batch["offset_mapping"][number]), words(text)) if with_words else None
        yield TextTokens(np.array(ids, dtype=np.int32), numbers)


def _of_long_text(text: str, tokenizer: PreTrainedTokenizerBase, *, with_words: bool) -> TextTokens:
    ids: list[Ids] = []
    numbers: list[npt.NDArray[np.int32]] = []
    count = 0
    for some, offsets in long_text_ids(text, tokenizer):
        ids.append(some)
        if with_words and len(some):
            begin, end = int(offsets[0, 0]), int(offsets[-1, 1])
            bounds = words(text[begin:end])
            here = unit_ids_of(offsets - begin, bounds)
            numbers.append(np.where(here < 0, here, here + count).astype(np.int32))
            count += len(bounds)
    return TextTokens(np.concatenate(ids), np.concatenate(numbers) if numbers else None)


def _of_turns(example: Example, tokenizer: PreTrainedTokenizerBase, *, name: str, completion_only: bool) -> TextTokens:
    if completion_only:
        _require_offsets(tokenizer, "only completions are to be told (task.completion_only)")
    turns, is_joined = example.target, False
    if isinstance(turns, Conversation):
        with_template(tokenizer)
        ids, marks = conversation_tokens(turns, tokenizer, name=name)
    else:
        assert isinstance(turns, Completion)
        begin, text = len(turns.prompt), turns.prompt + turns.completion
        batch = with_offsets(text, tokenizer)
        ids, marks = batch["input_ids"], marks_of(batch["offset_mapping"], [(begin, len(text))])
        alone = tokenizer(turns.prompt, add_special_tokens=False, verbose=False)["input_ids"]
        is_joined = ids[: len(alone)] != alone
    told = np.array(marks, dtype=bool)
    if completion_only:  # what comes after the last token to be told is of no use
        ids = ids[: int(np.flatnonzero(told)[-1]) + 1] if told.any() else ids
    return TextTokens(
        np.array(ids, dtype=np.int32),
        None,
        told=told[: len(ids)] if completion_only else None,
        is_framed=isinstance(turns, Completion),
        is_joined=is_joined,
    )


def _arrays(text: str, tokenizer: PreTrainedTokenizerBase) -> tuple[Ids, npt.NDArray[np.int64]]:
    batch = with_offsets(text, tokenizer)
    return np.array(batch["input_ids"], dtype=np.int32), _pairs(batch["offset_mapping"])


def _pairs(offsets: Sequence[tuple[int, int]]) -> npt.NDArray[np.int64]:
    return np.array(offsets, dtype=np.int64).reshape(-1, 2)


def _join(
    ids: Ids, offsets: npt.NDArray[np.int64], next_ids: Ids, next_offsets: npt.NDArray[np.int64], *, wanted: int
) -> tuple[int, int]:
    """Where tokens of one piece end and those of the next begin: at the place nearest to the wanted character around
    which both have the same tokens, else at that character."""
    shared = int(np.searchsorted(next_offsets[:, 0], offsets[-1, 1])) if len(offsets) else 0
    starts = {begin: place for place, begin in enumerate(next_offsets[:shared, 0].tolist())}
    places = range(int(np.searchsorted(offsets[:, 0], next_offsets[0, 0])) if len(next_offsets) else len(ids), len(ids))
    for place in sorted(places, key=lambda place: abs(int(offsets[place, 0]) - wanted)):
        other = starts.get(int(offsets[place, 0]))
        if other is None or min(place, other) < _RUN:
            continue
        here, there = slice(place - _RUN, place + _RUN), slice(other - _RUN, other + _RUN)
        if np.array_equal(ids[here], next_ids[there]) and np.array_equal(offsets[here], next_offsets[there]):
            return place, other
    return int(np.searchsorted(offsets[:, 0], wanted)), int(np.searchsorted(next_offsets[:, 0], wanted))


def _require_offsets(tokenizer: PreTrainedTokenizerBase, why: str) -> None:
    if not tokenizer.is_fast:
        raise DataError(
            f"{why}, which needs a tokenizer that knows the characters of its tokens (a fast one), but the model has a "
            f"{type(tokenizer).__name__}; take a model with a tokenizer.json"
        )
