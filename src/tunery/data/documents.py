"""Texts of any length become what a language model reads: windows of them, or several texts in one sequence."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from tunery.data.batches import NO_UNIT
from tunery.data.chat import with_template
from tunery.data.document_tokens import BETWEEN, Frame, Ids, TextTokens, frame_of, text_tokens
from tunery.data.encode import Encoded, TextFacts, filler_of, unknown_share
from tunery.data.examples import JOINT, Example
from tunery.data.masking import NO_TARGET
from tunery.data.packing import packs
from tunery.data.reading.turns import Completion, Conversation

Direction = Literal["causal", "masked"]
_TRIED, _CHARACTERS = 20, 1000
"""Texts, and characters of each, whose tokens are turned into text again."""


class Window(NamedTuple):
    """Consecutive tokens of one text."""

    row: int
    ids: Ids
    """(tokens,)"""
    targets: Ids | None
    """The token to be told at each place, -100: none; (tokens,)."""
    words: npt.NDArray[np.int32] | None
    """The word of each token, -1: none; (tokens,)."""

    @property
    def tells(self) -> bool:
        """Whether something in it is to be told."""
        return self.targets is None or bool((self.targets != NO_TARGET).any())


def encode_documents(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    *,
    direction: Direction,
    max_length: int,
    overlap: int = 0,
    training: bool = False,
    packing: bool = False,
    completion_only: bool = True,
    with_words: bool = False,
) -> Encoded:
    """Tokenise texts of any length; none of their tokens is lost.

    `causal`: a text begins with the token for that, if the tokenizer puts one there, and ends with the token for that,
    if it has one. The inputs are all of its tokens but the last, `token_targets` all but the first: each is told once.
    `masked`: every window has the special tokens of the tokenizer around it.

    Args:
        overlap: tokens that a window shares with the one before it: it reads them again, and does not tell the tokens
            after them again. Only for `causal`.
        training: whether `rows` counts the features, and `texts` says of which rows they are: then a step consists of
            features. Windows in which nothing is to be told are left out.
        packing: whether texts and windows share features, where they fit (`segments`). Only for `causal`, in training.
        completion_only: whether only completions, or what an assistant says, are to be told. Texts alone are told all.
        with_words: whether `unit_ids` says of which word each token is. Only for `masked`.

    Raises:
        DataError: as `text_tokens` does.
    """
    frame = _frame(tokenizer, direction)
    counts: list[int] = []
    joined = 0
    windows: list[Window] = []
    of_texts = text_tokens(examples, tokenizer, with_words=with_words, completion_only=completion_only)
    for row, text in enumerate(of_texts):
        around = frame if text.is_framed else Frame((), ())
        counts.append(len(text.ids))
        joined += text.is_joined
        if direction == "causal":
            some = causal_windows(row, _framed(text, around), filler_of(tokenizer), size=max_length, overlap=overlap)
        else:
            some = masked_windows(row, text, around, size=max_length)
        windows += [window for window in some if not training or (window.tells and len(text.ids))]
    encoded = _encoded(windows, tokenizer, capacity=max_length if packing else None, training=training)
    facts = TextFacts(
        tokens=np.array(counts, dtype=np.int64),
        windows=len(windows),
        sequences=len(encoded.ids),
        filled=float(encoded.lengths.sum()) / max(1, len(encoded.ids) * max_length),
        joined=joined,
        altered=_altered(examples, tokenizer),
    )
    return replace(encoded, of_texts=facts)


def causal_windows(row: int, text: TextTokens, filler: int, *, size: int, overlap: int) -> Iterator[Window]:
    """Windows of at most `size` tokens, in which every token after the first is told once, if it is to be told.

    Args:
        text: with special tokens around it.
        filler: what a text without tokens consists of.
        overlap: less than `size`.
    """
    ids, targets = text.ids[:-1], text.ids[1:]
    if text.told is not None:
        targets = np.where(text.told[1:], targets, NO_TARGET).astype(np.int32)
    if not len(ids):
        ids = text.ids if len(text.ids) else np.array([filler], dtype=np.int32)
        targets = np.full(1, NO_TARGET, dtype=np.int32)
    for start in range(0, max(1, len(ids) - overlap), size - overlap):
        told = targets[start : start + size]
        if start and overlap:
            told = np.concatenate([np.full(overlap, NO_TARGET, dtype=np.int32), told[overlap:]])
        yield Window(row, ids[start : start + size], told, None)


def masked_windows(row: int, text: TextTokens, frame: Frame, *, size: int) -> Iterator[Window]:
    """Windows of at most `size` tokens with special tokens around each; every token of the text is in one."""
    before, after = (np.array(tokens, dtype=np.int32) for tokens in frame)
    inside = max(1, size - len(before) - len(after))
    ends = [np.full(len(tokens), NO_UNIT, dtype=np.int32) for tokens in (before, after)]
    for start in range(0, max(1, len(text.ids)), inside):
        ids = np.concatenate([before, text.ids[start : start + inside], after])
        words = None
        if text.words is not None:
            words = np.concatenate([ends[0], text.words[start : start + inside], ends[1]])
        yield Window(row, ids, None, words)


def around_masks(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, *, max_length: int
) -> Iterator[list[tuple[Ids, Ids]]]:
    """Of each text what a model reads to fill in its mask tokens: token ids with special tokens around them, and the
    places of masks in them. None for a text without masks; all masks together for one of up to `max_length` tokens; of
    a longer one, for each mask so many tokens with the mask in the middle, as far as the ends of the text permit."""
    before, after = (np.array(tokens, dtype=np.int32) for tokens in frame_of(tokenizer))
    inside = max(1, max_length - len(before) - len(after))
    for text in text_tokens(examples, tokenizer, with_words=False, completion_only=False):
        places = np.flatnonzero(text.ids == tokenizer.mask_token_id).astype(np.int32)
        windows = []
        for some in np.split(places, len(places) if len(text.ids) > inside else 1) if len(places) else []:
            start = min(max(0, int(some[0]) - inside // 2), max(0, len(text.ids) - inside))
            ids = np.concatenate([before, text.ids[start : start + inside], after])
            windows.append((ids, some - start + len(before)))
        yield windows


def _frame(tokenizer: PreTrainedTokenizerBase, direction: Direction) -> Frame:
    frame = frame_of(tokenizer)
    if direction == "masked":
        return frame
    return Frame(frame.before, () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,))


def _framed(text: TextTokens, frame: Frame) -> TextTokens:
    """The same with special tokens around it: what ends a text is to be told, what begins it is not."""
    before, after = (np.array(tokens, dtype=np.int32) for tokens in frame)
    told = None
    if text.told is not None:
        told = np.concatenate([np.zeros(len(before), dtype=bool), text.told, np.ones(len(after), dtype=bool)])
    return text._replace(ids=np.concatenate([before, text.ids, after]), told=told)


def _encoded(
    windows: Sequence[Window], tokenizer: PreTrainedTokenizerBase, *, capacity: int | None, training: bool
) -> Encoded:
    """Args:
    capacity: tokens of a feature that windows share; None: each is a feature.
    """
    lengths = np.array([len(window.ids) for window in windows], dtype=np.int64)
    together = [[number] for number in range(len(windows))] if capacity is None else packs(lengths, capacity)
    ids = [_joined([windows[number].ids for number in some]) for some in together]
    typed = "token_type_ids" in tokenizer.model_input_names
    words = [w.words for w in windows if w.words is not None]
    targets = [w.targets for w in windows if w.targets is not None]
    return Encoded(
        ids=ids,
        type_ids=[np.zeros(len(row), dtype=np.int8) for row in ids] if typed else None,
        lengths=np.array([len(row) for row in ids], dtype=np.int64),
        rows=np.arange(len(ids)) if training else np.array([window.row for window in windows], dtype=np.int64),
        truncated=0,
        unit_ids=words or None,
        token_targets=[_joined([targets[number] for number in some]) for some in together] if targets else None,
        segments=[_segments(lengths[some]) for some in together] if len(together) < len(windows) else None,
        texts=[np.array([windows[number].row for number in some]) for some in together] if training else None,
        unknown=unknown_share(ids, tokenizer),
    )


def _joined(parts: Sequence[Ids]) -> Ids:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _segments(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    return np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)


def _altered(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> tuple[str, str] | None:
    """The beginning of the first of some texts, from everywhere, that its tokens do not give back."""
    for example in examples[:: max(1, len(examples) // _TRIED)]:
        text = example.text[:_CHARACTERS].replace(JOINT, "\n\n").strip()
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        again = str(tokenizer.decode(ids, clean_up_tokenization_spaces=False)).strip()
        if again != text:
            return text, again
    return None


def prompt_ids(example: Example, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that a text goes on from, without what would end it; of a conversation, up to where the assistant's
    turn begins. One token at least."""
    if isinstance(example.target, Conversation):
        with_template(tokenizer)
        messages = [message._asdict() for message in example.target.messages]
        asked: Any = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
        return list(asked["input_ids"])
    text = example.target.prompt if isinstance(example.target, Completion) else example.text.replace(JOINT, BETWEEN)
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return [*frame_of(tokenizer).before, *ids] or [filler_of(tokenizer)]
