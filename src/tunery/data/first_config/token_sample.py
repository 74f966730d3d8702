"""How many tokens texts have, and whether a model knows them, by a sample of the rows."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from tunery.data.checks.row_checks import MOST_ALIKE, MOST_UNKNOWN, SOME_UNKNOWN
from tunery.data.examples import JOINT
from tunery.data.first_config.template import LENGTHS
from tunery.data.lengths import length_of
from tunery.data.reading.cells import BadCell, text_of
from tunery.data.reading.source import Row
from tunery.errors import DataError, enumerated

MEASURED: Final = 2_000
"""Rows whose tokens are counted."""
READ: Final = 20_000
"""Characters of a text of which tokens are counted: more than the longest model reads here."""

Texts = tuple[str, str | None]


class Tokens(Protocol):
    """What a model's tokenizer makes of texts."""

    model: str
    """The model, as a config names it."""
    unknown: int | None
    """The token for what the vocabulary lacks."""
    special: Collection[int]
    """Tokens that stand for no text."""
    has_mask: bool
    """Whether there is a token that stands for a hidden one: the model reads in both directions then."""
    longest: int | None
    """Tokens that the model has positions for; None where its files do not say it."""

    def of(self, texts: Sequence[Texts]) -> list[list[int]]:
        """The tokens of each text or pair, special tokens included."""
        ...


class SampleLength(NamedTuple):
    """How long texts are, and what is to be said of their tokens."""

    tokens: int
    """What 95 % of the rows do not exceed."""
    notes: tuple[str, ...] = ()


def length_of_sample(
    splits: Mapping[str, Sequence[Row]], texts: Sequence[str], second: str | None, tokens: Tokens | None
) -> SampleLength:
    """Of a sample of the rows from everywhere in each split; the length is that of train.

    Args:
        texts: columns that are joined.
        second: column of the second text.

    Raises:
        DataError: the model knows too little of the texts, or tells too few of them apart; or they are no texts.
    """
    lengths: list[list[int]] = []
    notes: list[str] = []
    for name, rows in splits.items():
        sample = [_texts(row, texts, second) for row in rows[:: max(1, len(rows) // MEASURED)]]
        if tokens is None:
            lengths.append([math.ceil(length_of(f"{a} {b or ''}").tokens) + 2 for a, b in sample])
        else:
            ids = tokens.of(sample)
            notes += _doubts(sample, ids, tokens, split=name)
            lengths.append([*map(len, ids)])
    of_train = sorted(lengths[0])
    return SampleLength(of_train[math.ceil(0.95 * len(of_train)) - 1], tuple(notes))


def _texts(row: Row, texts: Sequence[str], second: str | None) -> Texts:
    try:
        first = JOINT.join(text_of(row.get(column))[:READ] for column in texts)
        return first, None if second is None else text_of(row.get(second))[:READ]
    except BadCell as problem:
        raise DataError(f"a cell of {enumerated([*texts, *filter(None, [second])])} {problem}") from problem


def _doubts(sample: Sequence[Texts], ids: Sequence[list[int]], tokens: Tokens, *, split: str) -> Iterator[str]:
    """What is to be said of the tokens of a split, where it is no reason to refuse it."""
    words = sum(token not in tokens.special for row in ids for token in row)
    unknown = sum(token == tokens.unknown for row in ids for token in row) / max(1, words)
    share = f"{100 * unknown:.0f} % of the tokens of {len(ids):,} rows of {split} are unknown to {tokens.model}"
    other = (
        "Take a model for the language of the texts, for instance --model xlm-roberta-base, which reads 100 languages"
    )
    if unknown > MOST_UNKNOWN:
        raise DataError(
            f"the model's vocabulary should hold the texts, but {share}: they all look alike to it. {other}"
        )
    first: dict[tuple[int, ...], str] = {}
    keys = [" ".join(f"{a} {b or ''}".casefold().split()) for a, b in sample]
    alike = sum(first.setdefault(tuple(i[: LENGTHS[-1]]), key) != key for i, key in zip(ids, keys, strict=True))
    if alike > MOST_ALIKE * len(ids):
        raise DataError(
            f"different texts should have different tokens, but of {len(ids):,} rows of {split} {alike:,} have those "
            f"of another: {tokens.model} sees no difference. {other}"
        )
    if unknown > SOME_UNKNOWN:
        yield f"{share}. {other}"
