"""Examples become token ids, cut at the model's length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from tunery.data.examples import JOINT, Example
from tunery.data.splitting import text_key
from tunery.data.units import Bounds

_CHUNK_ROWS: Final = 1000
_CHUNK_CHARACTERS: Final = 1_000_000
"""Rows and characters that are tokenised at once: until it is cut, a text takes some hundred bytes for each token."""


@dataclass(frozen=True)
class TextFacts:
    """What is known of the tokens of texts, whose features may be parts of them, or hold several."""

    tokens: npt.NDArray[np.int64]
    """Tokens of each text, without those around it, (texts,)."""
    windows: int
    """Texts, or parts of them that are not longer than the model reads."""
    sequences: int
    """Features in which these are: fewer, where some share one."""
    filled: float
    """Share of the places of these features that are no padding, where all are as long as the model reads."""
    joined: int = 0
    """Texts in which a prompt and its completion share a token, so that the prompt has other tokens alone."""
    altered: tuple[str, str] | None = None
    """A part of a text, and what its tokens say, where they say something else; None: some texts came out as they are.
    """


@dataclass(frozen=True)
class Encoded:
    """The features of one split, without padding: what the model reads of each row, which may be several windows."""

    ids: list[npt.NDArray[np.int32]]
    """Token ids per feature (tokens,)."""
    type_ids: list[npt.NDArray[np.int8]] | None
    """Per feature (tokens,): 0 first text, 1 second; None where the model does not ask for them."""
    lengths: npt.NDArray[np.int64]
    """Tokens per feature, special tokens included; (features,)."""
    rows: npt.NDArray[np.int64]
    """The row that each feature is of, ascending; (features,). Every row has a feature."""
    truncated: int
    """Rows that were cut."""
    offsets: list[npt.NDArray[np.int64]] | None = None
    """Per feature (tokens, 2): begin and end of each token in the text, in characters; both 0 for special tokens. None
    where they were not asked for."""
    unit_ids: list[npt.NDArray[np.int32]] | None = None
    """Per feature (tokens,): number within its text of the unit that a token is of, ascending; -1 for special tokens.
    None where they were not asked for."""
    units: Sequence[Bounds] | None = None
    """The units of each row; None where they were not asked for."""
    questions: npt.NDArray[np.int64] | None = None
    """Number of the question that is asked of each feature, (features,); None where there are none."""
    token_targets: list[npt.NDArray[np.int32]] | None = None
    """Per feature (tokens,): the token that is to be told at each place, -100 where none is; None where tokens are not
    to be told, or where it is drawn anew in every epoch which of them are."""
    segments: list[npt.NDArray[np.int32]] | None = None
    """Per feature (tokens,): number of the text that each token is of, ascending; None where a feature has one text."""
    texts: list[npt.NDArray[np.int64]] | None = None
    """Per feature (segments,): the row that each of its texts is of, where features are not rows: for training language
    models, where `rows` counts the features; None: `rows` says so."""
    of_texts: TextFacts | None = None
    """Of language models."""
    unknown: float = 0.0
    """Share of the texts' tokens that the vocabulary lacks."""
    alike: int = 0
    """Rows with the very tokens of an earlier row whose text is another."""

    def tokens_of_rows(self) -> npt.NDArray[np.int64]:
        """Tokens per row, those of all its features; (rows,)."""
        return np.bincount(self.rows, weights=self.lengths).astype(np.int64)

    def tokens_of_texts(self) -> npt.NDArray[np.int64]:
        """Tokens of each text of the split, whichever features they are in; (texts,)."""
        return self.tokens_of_rows() if self.of_texts is None else self.of_texts.tokens

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> "Encoded":
        """The features of some rows, of which each has its own: in the order that is given, and numbered anew. What was
        counted (`truncated`, `unknown`, `alike`) is known of all rows together, and 0 here."""
        assert self.texts is None
        each = self.features_of(rows)
        features = np.concatenate(each).tolist()

        def some(column: list[Any] | None) -> Any:
            return None if column is None else [column[feature] for feature in features]

        return Encoded(
            ids=some(self.ids),
            type_ids=some(self.type_ids),
            lengths=self.lengths[features],
            rows=np.repeat(np.arange(len(rows)), [len(numbers) for numbers in each]),
            truncated=0,
            offsets=some(self.offsets),
            unit_ids=some(self.unit_ids),
            units=None if self.units is None else [self.units[row] for row in rows],
            questions=None if self.questions is None else self.questions[features],
            token_targets=some(self.token_targets),
            segments=some(self.segments),
        )

    def features_of(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        """The numbers of the features of each of some rows."""
        begins, ends = (np.searchsorted(self.rows, rows, side=side) for side in ("left", "right"))
        return [np.arange(begin, end) for begin, end in zip(begins, ends, strict=True)]

    def reach_of_rows(self) -> npt.NDArray[np.int64] | None:
        """Characters of each row that its first feature reads, (rows,); None where units were not asked for."""
        if self.units is None or self.unit_ids is None:
            return None
        last = [self.unit_ids[feature].max() for feature in np.unique(self.rows, return_index=True)[1]]
        ends = [bounds[unit, 1] if unit >= 0 else 0 for bounds, unit in zip(self.units, last, strict=True)]
        return np.array(ends, dtype=np.int64)


def encode(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, *, max_length: int) -> Encoded:
    """Tokenise; rows longer than `max_length` tokens, special tokens included, are cut (of a pair, the longer text).

    A text without any token becomes one end-of-text token, so that no row is empty.
    """
    typed = "token_type_ids" in tokenizer.model_input_names
    ids: list[npt.NDArray[np.int32]] = []
    type_ids: list[npt.NDArray[np.int8]] = []
    truncated = 0
    for chunk in chunks(examples):
        batch = _tokens(chunk, tokenizer, max_length=max_length)
        ids += [np.array(row or [filler_of(tokenizer)], dtype=np.int32) for row in batch["input_ids"]]
        type_ids += [np.array(row or [0], dtype=np.int8) for row in batch["token_type_ids"]] if typed else []
        truncated += _count_cut(chunk, batch, tokenizer, max_length=max_length)
    lengths = np.array([len(row) for row in ids], dtype=np.int64)
    return Encoded(
        ids=ids,
        type_ids=type_ids if typed else None,
        lengths=lengths,
        rows=np.arange(len(ids)),
        truncated=truncated,
        unknown=unknown_share(ids, tokenizer),
        alike=_alike(examples, ids),
    )


def encode_windows(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    overlap: int,
    units: Sequence[Bounds] | None = None,
    questions: Sequence[str] = (),
) -> Encoded:
    """Tokenise texts of any length: a text of more than `max_length` tokens becomes several windows.

    Args:
        tokenizer: a fast one, which knows the characters of its tokens.
        overlap: tokens of the text that two neighbouring windows share.
        units: begin and end of the units of each text, in characters; None: nobody asks of which unit a token is.
        questions: first texts of pairs whose second text is the text of a row: a row has windows for each of them.
    """
    typed = "token_type_ids" in tokenizer.model_input_names
    ids: list[npt.NDArray[np.int32]] = []
    type_ids: list[npt.NDArray[np.int8]] = []
    offsets: list[npt.NDArray[np.int64]] = []
    rows: list[int] = []
    asked: list[int] = []
    start, each = 0, max(1, len(questions))
    for chunk in chunks(examples):
        texts = [example.text.replace(JOINT, "\n") for example in chunk for _ in range(each)]  # offsets stay right
        batch = tokenizer(
            [*questions] * len(chunk) if questions else texts,
            texts if questions else None,
            truncation="only_second" if questions else True,
            max_length=max_length,
            stride=overlap,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        samples = np.array(batch["overflow_to_sample_mapping"], dtype=np.int64)
        rows += (start + samples // each).tolist()
        asked += (samples % each).tolist()
        ids += [np.array(window or [filler_of(tokenizer)], dtype=np.int32) for window in batch["input_ids"]]
        type_ids += [np.array(window or [0], dtype=np.int8) for window in batch["token_type_ids"]] if typed else []
        for window, mapping in enumerate(batch["offset_mapping"]):
            inside = np.array(mapping or [(0, 0)], dtype=np.int64)
            if questions:
                inside[[sequence != 1 for sequence in batch.sequence_ids(window)]] = 0
            offsets.append(inside)
        start += len(chunk)
    first = np.unique(rows, return_index=True)[1]  # window of each row
    return Encoded(
        ids=ids,
        type_ids=type_ids if typed else None,
        lengths=np.array([len(window) for window in ids], dtype=np.int64),
        rows=np.array(rows, dtype=np.int64),
        truncated=0,
        offsets=offsets if units is None else None,
        unit_ids=None
        if units is None
        else [unit_ids_of(part, units[row]) for part, row in zip(offsets, rows, strict=True)],
        units=units,
        questions=np.array(asked, dtype=np.int64) if questions else None,
        unknown=unknown_share(ids, tokenizer),
        alike=_alike(examples, [ids[window] for window in first]),
    )


def unit_ids_of(offsets: npt.NDArray[np.int64], bounds: Bounds) -> npt.NDArray[np.int32]:
    """The unit that each token ends in, or the one before its end; -1 for a token without characters."""
    begin, end = offsets.T
    numbers = np.searchsorted(bounds[:, 0], end, side="left") - 1
    return np.where(begin == end, -1, numbers).astype(np.int32)


def chunks(examples: Sequence[Example]) -> Iterator[Sequence[Example]]:
    """Rows that are tokenised at once; a long text is alone."""
    start, characters = 0, 0
    for row, example in enumerate(examples):
        length = len(example.text) + len(example.text_pair or "")
        if row > start and (row - start == _CHUNK_ROWS or characters + length > _CHUNK_CHARACTERS):
            yield examples[start:row]
            start, characters = row, 0
        characters += length
    if examples:
        yield examples[start:]


def _tokens(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, **limit: Any) -> Any:
    paired = any(example.text_pair is not None for example in examples)
    separator = "\n" if tokenizer.sep_token is None else f" {tokenizer.sep_token} "
    return tokenizer(
        [example.text.replace(JOINT, separator) for example in examples],
        [example.text_pair or "" for example in examples] if paired else None,
        truncation=bool(limit),
        return_attention_mask=False,
        verbose=False,
        **limit,
    )


def _count_cut(examples: Sequence[Example], batch: Any, tokenizer: PreTrainedTokenizerBase, *, max_length: int) -> int:
    full = [row for row, ids in enumerate(batch["input_ids"]) if len(ids) >= max_length]
    if not full:
        return 0
    if tokenizer.is_fast:
        return sum(bool(batch.encodings[row].overflowing) for row in full)
    whole = _tokens([examples[row] for row in full], tokenizer)
    return sum(len(ids) > max_length for ids in whole["input_ids"])


def unknown_share(ids: Sequence[npt.NDArray[np.int32]], tokenizer: PreTrainedTokenizerBase) -> float:
    """Of the tokens that are no special ones, those that the vocabulary lacks.

    Tokenizers that know every byte often name another special token as their unknown one; they never mean it.
    """
    others = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.cls_token_id)
    unknown_id = None if tokenizer.unk_token_id in others else tokenizer.unk_token_id
    special_ids = [token for token in tokenizer.all_special_ids if token != tokenizer.unk_token_id]
    words, unknown = 0, 0
    for start in range(0, len(ids), _CHUNK_ROWS):
        tokens = np.concatenate(ids[start : start + _CHUNK_ROWS])
        unknown += int(np.count_nonzero(tokens == unknown_id))
        words += int(np.count_nonzero(~np.isin(tokens, special_ids)))
    return unknown / max(words, 1)


def _alike(examples: Sequence[Example], ids: Sequence[npt.NDArray[np.int32]]) -> int:
    first: dict[int, str] = {}
    texts = (text_key(example) for example in examples)
    return sum(first.setdefault(hash(row.tobytes()), text) != text for row, text in zip(ids, texts, strict=True))


def filler_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token of a text that has none."""
    ends = (tokenizer.eos_token_id, tokenizer.pad_token_id)
    return next((int(token) for token in ends if isinstance(token, int)), 0)
