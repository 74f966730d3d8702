"""Which tokens of a text a masked language model has to tell, and what it sees in their place."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]

NO_TARGET: Final = -100
"""Target of a place where nothing is to be told, and of padding: torch and transformers ignore it."""
SPAN_P: Final = 0.2
LONGEST_SPAN: Final = 10
"""Words."""
_LENGTHS: Final = SPAN_P * (1 - SPAN_P) ** np.arange(LONGEST_SPAN)
SPAN_LENGTHS: Final = _LENGTHS / _LENGTHS.sum()
"""Probability of a span of 1, 2, ... words: geometric, cut off behind the longest (Joshi et al. 2020, arXiv 1907.10529,
section 3.1)."""
_HIDDEN, _REPLACED = 0.8, 0.9
"""Draws from [0, 1) up to which a token is hidden, and up to which it is replaced; above, it stays (Devlin et al. 2019,
arXiv 1810.04805, section 3.1)."""
_ATTEMPTS: Final = 20
"""Spans that are drawn for each word of a text at most, before it is masked as far as it is."""


class Hidden(NamedTuple):
    """A text with tokens hidden; both (tokens,)."""

    ids: Ids
    targets: Ids
    """The token that is to be told at each place; -100: none."""


Masking = Callable[[Ids, Ids | None, np.random.Generator], Hidden]
"""Token ids, and the number of the word of each where words are asked for -> what the model sees and has to tell."""

Kind = Literal["token", "whole_word", "span"]


def make_masking(
    kind: Kind, *, probability: float, mask_id: int, special_ids: Iterable[int], vocabulary: int
) -> Masking:
    """What hides tokens of a text.

    Args:
        probability: share of the ordinary tokens that are to be told, on average; one of a text at least.
        mask_id: token that stands for a hidden one.
        special_ids: tokens that are never told, and never put in place of others.
        vocabulary: tokens there are.
    """
    special = np.array(sorted(special_ids), dtype=np.int32)
    ordinary = np.setdiff1d(np.arange(vocabulary, dtype=np.int32), special)

    def mask(ids: Ids, words: Ids | None, generator: np.random.Generator) -> Hidden:
        places = np.flatnonzero(~np.isin(ids, special))
        seen, targets = ids.copy(), np.full(len(ids), NO_TARGET, dtype=np.int32)
        groups = _within(_GROUPS[kind](places, words, generator), probability * len(places), generator)
        for group in groups if kind == "span" else np.concatenate([places[:0], *groups])[:, None]:
            targets[group] = ids[group]
            draw = generator.random()
            if draw < _HIDDEN:
                seen[group] = mask_id
            elif draw < _REPLACED:
                seen[group] = generator.choice(ordinary, size=len(group))
        return Hidden(seen, targets)

    return mask


def _within(groups: Iterator[Places], budget: float, generator: np.random.Generator) -> list[Places]:
    """The first groups, of as many places as the budget on average: the one that goes beyond it is taken with the
    probability that makes it so. One is taken in any case."""
    chosen: list[Places] = []
    for group in groups:
        if len(group) <= budget or generator.random() * len(group) < budget or not chosen:
            chosen.append(group)
        budget -= len(group)
        if budget <= 0:
            break
    return chosen


def _tokens(places: Places, words: Ids | None, generator: np.random.Generator) -> Iterator[Places]:
    yield from generator.permutation(places)[:, None]


def _whole_words(places: Places, words: Ids | None, generator: np.random.Generator) -> Iterator[Places]:
    groups = _words(places, words)
    for word in generator.permutation(len(groups)):
        yield groups[word]


def _spans(places: Places, words: Ids | None, generator: np.random.Generator) -> Iterator[Places]:
    """Runs of words that do not overlap."""
    groups = _words(places, words)
    is_free = np.ones(len(groups), dtype=np.bool_)
    for _ in range(_ATTEMPTS * len(groups)):
        length = min(len(groups), 1 + int(generator.choice(LONGEST_SPAN, p=SPAN_LENGTHS)))
        start = int(generator.integers(len(groups) - length + 1))
        if is_free[start : start + length].all():
            is_free[start : start + length] = False
            yield np.concatenate(groups[start : start + length])


def _words(places: Places, words: Ids | None) -> list[Places]:
    """Places word by word; of a text without any, none."""
    if words is None:
        raise ValueError("words are hidden where the word of each token is known")
    return np.split(places, np.flatnonzero(np.diff(words[places])) + 1) if len(places) else []


_GROUPS: Final[dict[Kind, Callable[[Places, Ids | None, np.random.Generator], Iterator[Any]]]] = {
    "token": _tokens,
    "whole_word": _whole_words,
    "span": _spans,
}
"""What is hidden together, in the order in which it is drawn. As in BERT's code each token of a word is hidden,
replaced or left by a draw of its own, as in SpanBERT's all of a span by one."""
