"""How many tokens texts have, and whether a model knows them, by a sample of the rows."""

import math
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple, Protocol

from tunery.data.checks.row_checks import MOST_ALIKE, MOST_UNKNOWN, SOME_UNKNOWN
from tunery.data.examples import JOINT
from tunery.data.first_config.profiles import Profile
from tunery.data.first_config.template import LENGTHS
from tunery.data.lengths import length_of
from tunery.data.reading.cells import text_of
from tunery.errors import DataError

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

    def of(self, texts: Sequence[Texts]) -> list[list[int]]:
        """The tokens of each text or pair, special tokens included."""
        ...


class SampleLength(NamedTuple):
    """How long texts are, and what is to be said of their tokens."""

    tokens: int
    """What 95 % of the rows do not exceed."""
    notes: tuple[str, ...] = ()


def length_of_sample(texts: Sequence[Profile], second: Profile | None, tokens: Tokens | None) -> SampleLength:
    """Of a sample of the rows from everywhere in the file.

    Raises:
        DataError: the model knows too little of the texts, or tells too few of them apart.
    """
    step = max(1, len(texts[0].values) // MEASURED)
    columns = [column.values[::step] for column in texts]
    firsts = [JOINT.join(text_of(value)[:READ] for value in values) for values in zip(*columns, strict=True)]
    seconds = [text_of(value)[:READ] for value in second.values[::step]] if second else [None] * len(firsts)
    rows = [*zip(firsts, seconds, strict=True)]
    if tokens is None:
        lengths = sorted(math.ceil(length_of(f"{a} {b or ''}").tokens) + 2 for a, b in rows)
        return SampleLength(_most(lengths))
    ids = tokens.of(rows)
    words = sum(token not in tokens.special for row in ids for token in row)
    unknown = sum(token == tokens.unknown for row in ids for token in row) / max(1, words)
    share = f"{100 * unknown:.0f} % of the tokens of {len(rows):,} rows are unknown to {tokens.model}"
    other = (
        "Take a model for the language of the texts, for instance --model xlm-roberta-base, which reads 100 languages"
    )
    if unknown > MOST_UNKNOWN:
        raise DataError(
            f"the model's vocabulary should hold the texts, but {share}: they all look alike to it. {other}"
        )
    first: dict[tuple[int, ...], str] = {}
    keys = [" ".join(f"{a} {b or ''}".casefold().split()) for a, b in rows]
    alike = sum(first.setdefault(tuple(i[: LENGTHS[-1]]), key) != key for i, key in zip(ids, keys, strict=True))
    if alike > MOST_ALIKE * len(rows):
        raise DataError(
            f"different texts should have different tokens, but of {len(rows):,} rows {alike:,} have those of another: "
            f"{tokens.model} sees no difference. {other}"
        )
    return SampleLength(_most(sorted(map(len, ids))), (f"{share}. {other}",) if unknown > SOME_UNKNOWN else ())


def _most(lengths: Sequence[int]) -> int:
    return lengths[math.ceil(0.95 * len(lengths)) - 1]
