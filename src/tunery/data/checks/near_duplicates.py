"""Finds texts that are almost the same: MinHash over word 3-shingles, banded, then verified.

Broder 1997, "On the resemblance and containment of documents", section 3; banding as in Leskovec, Rajaraman &
Ullman, "Mining of Massive Datasets", section 3.4. With 16 bands of 5 hashes a pair of Jaccard similarity 0.8 is
missed once in 600 times, and every pair that is returned has been compared in full.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tunery.data.examples import Example

THRESHOLD = 0.8
"""Jaccard similarity of the shingles from which two texts count as nearly the same."""
SHINGLE = 3
MIN_WORDS = 5
"""Shorter texts are compared only as a whole: one changed word is most of their shingles."""
BANDS, BAND_WIDTH = 16, 5
NEAREST, FIRST = 16, 4
"""A text is compared with this many before it in its bucket, and with this many at the bucket's start, so that time
grows with the words and not with their square, and the last of many duplicates still meets those of the first split."""
CHUNK = 1_000_000
"""Words whose shingles are hashed at a time, for memory."""
SLACK = 0.2
"""How far the estimate by signature (standard error 0.045) may lie below the threshold."""

Hashes = npt.NDArray[np.uint64]
Signatures = npt.NDArray[np.uint32]
Pairs = npt.NDArray[np.int64]
_WORD = re.compile(r"\w+")
_BOUNDARY = 0


class Words:
    """Turns texts into word numbers, as compact bytes: equal bytes mean equal texts up to case and punctuation."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def key(self, example: Example) -> bytes:
        """The word numbers (uint32) of the text, and behind a 0 those of its pair."""
        numbers = self._of(example.text)
        if example.text_pair is not None:
            numbers = [*numbers, _BOUNDARY, *self._of(example.text_pair)]
        return array("I", numbers).tobytes()

    def _of(self, text: str) -> list[int]:
        numbers = self._numbers
        words = _WORD.findall(text.casefold()) or [text.strip()]
        return [numbers.setdefault(word, len(numbers) + 1) for word in words]


def word_count(key: bytes) -> int:
    """Words of a key of `Words`."""
    return len(key) // array("I").itemsize


def similar_keys(keys: Sequence[bytes]) -> Mapping[bytes, set[bytes]]:
    """Each key with those that are nearly the same, itself included."""
    similar: dict[bytes, set[bytes]] = {key: {key} for key in keys}
    for low, high in similar_pairs(keys):
        similar[keys[low]].add(keys[high])
        similar[keys[high]].add(keys[low])
    return similar


def similar_pairs(keys: Sequence[bytes]) -> list[tuple[int, int]]:
    """Positions `(i, j)`, `i < j`, of different keys whose shingles have a Jaccard similarity of at least 0.8.

    Of a pair of texts both sides must be that similar, so that one premise may have many hypotheses.
    """
    long = [position for position, key in enumerate(keys) if word_count(key) >= MIN_WORDS]
    if len(long) < 2:
        return []
    pairs = _candidates(_signatures([keys[position] for position in long])).tolist()
    uses = Counter(position for pair in pairs for position in pair)
    shingles: dict[int, list[Hashes]] = {}
    similar = []
    for pair in pairs:
        for position in pair:
            if position not in shingles:
                shingles[position] = _sides(keys[long[position]])
        low, high = pair
        if min(map(_jaccard, shingles[low], shingles[high])) >= THRESHOLD:
            similar.append((long[low], long[high]))
        for position in pair:
            uses[position] -= 1
            if not uses[position]:
                del shingles[position]
    return similar


def _signatures(keys: Sequence[bytes]) -> Signatures:
    """The smallest value of each hash function over the shingles of each text.  # (hashes, texts)"""
    random = np.random.default_rng(0)
    factors, shifts = random.integers(1, 2**63, size=(2, BANDS * BAND_WIDTH), dtype=np.uint64)
    result = np.empty((BANDS * BAND_WIDTH, len(keys)), dtype=np.uint32)
    words = np.cumsum([word_count(key) for key in keys])
    for first, last in pairwise([0, *(np.flatnonzero(np.diff(words // CHUNK)) + 1).tolist(), len(keys)]):
        hashes, starts = _shingle_hashes(keys[first:last])
        for row, (factor, shift) in enumerate(zip(factors, shifts, strict=True)):
            smallest = np.minimum.reduceat(hashes * (factor | np.uint64(1)) + shift, starts)
            result[row, first:last] = smallest >> np.uint64(32)
    return result


def _shingle_hashes(keys: Sequence[bytes]) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """One hash per shingle, all texts in a row, and where each text starts."""
    numbers = np.frombuffer(b"".join(keys), dtype=np.uint32).astype(np.uint64)
    sizes = np.array([word_count(key) for key in keys])
    inside = np.arange(len(numbers)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    begins = np.flatnonzero(inside < np.repeat(sizes - SHINGLE + 1, sizes))
    hashes = _hashed([numbers[begins + step] for step in range(SHINGLE)])
    counts = sizes - SHINGLE + 1
    return hashes, np.cumsum(counts) - counts


def _hashed(columns: Sequence[Hashes]) -> Hashes:
    """One hash of each row of these columns."""
    hashes = _mixed(columns[0])
    for column in columns[1:]:
        hashes = _mixed(hashes + column)
    return hashes


def _mixed(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014, figure 17); it wraps around on purpose."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _candidates(signatures: Signatures) -> Pairs:
    """Pairs that share a band and whose signatures agree well enough to be worth comparing, by row.  # (pairs, 2)"""
    texts = signatures.shape[1]
    codes = np.unique(np.concatenate([*_neighbours(signatures)]))
    kept = [
        chunk[(signatures[:, chunk // texts] == signatures[:, chunk % texts]).mean(axis=0) >= THRESHOLD - SLACK]
        for chunk in np.array_split(codes, len(codes) // 50_000 + 1)
    ]
    chosen = np.concatenate(kept)
    low, high = chosen // texts, chosen % texts
    order = np.lexsort((low, high))
    position = np.arange(len(order))
    from_first = position - np.searchsorted(high[order], high[order])
    from_last = np.searchsorted(high[order], high[order], side="right") - 1 - position
    few = np.sort(order[(from_first < FIRST) | (from_last < NEAREST)])
    return np.stack([low[few], high[few]], axis=1)


def _neighbours(signatures: Signatures) -> Iterator[npt.NDArray[np.int64]]:
    """Pairs that meet in a bucket, band by band, each coded as `low * texts + high`."""
    texts = signatures.shape[1]
    for band in signatures.reshape(BANDS, BAND_WIDTH, texts):
        bucket = band[0].astype(np.uint64)
        for row in band[1:]:
            bucket = _mixed(bucket) + row
        order = np.argsort(bucket, kind="stable")
        ordered = bucket[order]
        for lag in range(1, min(NEAREST, texts - 1) + 1):
            meets = np.flatnonzero(ordered[lag:] == ordered[:-lag])
            yield order[meets] * texts + order[meets + lag]
            if not len(meets):
                break
        first = np.searchsorted(ordered, ordered)
        for step in range(FIRST):
            meets = np.flatnonzero(first + step < np.arange(texts))
            yield order[first[meets] + step] * texts + order[meets]


def _sides(key: bytes) -> list[Hashes]:
    """The hashes of the shingles of a text, and of its pair, each once and sorted.

    A shingle is three words in a row, or all of them where they are fewer.
    """
    numbers = np.frombuffer(key, dtype=np.uint32).astype(np.uint64)
    ends = [-1, *np.flatnonzero(numbers == _BOUNDARY).tolist(), len(numbers)]
    sides = [numbers[low + 1 : high] for low, high in pairwise(ends)]
    widths = [min(SHINGLE, len(side)) for side in sides]
    return [
        np.unique(_hashed([side[step : len(side) - width + 1 + step] for step in range(width)]))
        for side, width in zip(sides, widths, strict=True)
    ]


def _jaccard(a: Hashes, b: Hashes) -> float:
    """Jaccard similarity of two sorted arrays."""
    both = np.count_nonzero(a[np.minimum(np.searchsorted(a, b), len(a) - 1)] == b)
    return both / (len(a) + len(b) - both)
