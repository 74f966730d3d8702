"""Finds texts that are almost the same: MinHash over word 3-shingles, banded, then verified.

Broder 1997, "On the resemblance and containment of documents", section 3; banding as in Leskovec, Rajaraman &
Ullman, "Mining of Massive Datasets", section 3.4. With 16 bands of 5 hashes a pair of Jaccard similarity 0.8 is
missed once in 600 times, and every pair that is returned has been compared in full.
"""

import re
from array import array
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tunery.data.rows import Example

THRESHOLD = 0.8
"""Jaccard similarity of the shingles from which two texts count as nearly the same."""
SHINGLE = 3
MIN_WORDS = 5
"""Shorter texts are compared only as a whole: one changed word is most of their shingles."""
BANDS, BAND_WIDTH = 16, 5
LAGS = 20
"""Within a bucket of the index each text is compared with this many that follow it."""
SLACK = 0.2
"""How far the estimate by signature (standard error 0.045) may lie below the threshold."""

Hashes = npt.NDArray[np.uint64]
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
        known = self._numbers
        words = _WORD.findall(text.casefold()) or [text.strip()]
        return [known.setdefault(word, len(known) + 1) for word in words]


def word_count(key: bytes) -> int:
    """Words of a key of `Words`."""
    return len(key) // array("I").itemsize


def similar_pairs(keys: Sequence[bytes]) -> list[tuple[int, int]]:
    """Positions `(i, j)`, `i < j`, of different keys whose shingles have a Jaccard similarity of at least 0.8.

    Of a pair of texts both sides must be that similar, so that one premise may stand with many hypotheses.
    """
    long = [position for position, key in enumerate(keys) if word_count(key) >= MIN_WORDS]
    if len(long) < 2:
        return []
    signatures = _signatures([keys[position] for position in long])
    shingles: dict[int, list[set[tuple[int, ...]]]] = {}
    found = []
    for low, high in _candidates(signatures).tolist():
        for position in (low, high):
            if position not in shingles:
                shingles[position] = _sides(keys[long[position]])
        if _similarity(shingles[low], shingles[high]) >= THRESHOLD:
            found.append((long[low], long[high]))
    return found


def _signatures(keys: Sequence[bytes]) -> Hashes:
    """The smallest value of each hash function over the shingles of each text.  # (hashes, texts)"""
    hashes, starts = _shingle_hashes(keys)
    random = np.random.default_rng(0)
    factors, shifts = random.integers(1, 2**63, size=(2, BANDS * BAND_WIDTH), dtype=np.uint64)
    return np.stack(
        [
            np.minimum.reduceat(hashes * (factor | np.uint64(1)) + shift, starts)
            for factor, shift in zip(factors, shifts, strict=True)
        ]
    )


def _shingle_hashes(keys: Sequence[bytes]) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """One hash per shingle, all texts in a row, and where each text starts."""
    numbers = np.frombuffer(b"".join(keys), dtype=np.uint32).astype(np.uint64)
    sizes = np.array([word_count(key) for key in keys])
    inside = np.arange(len(numbers)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    begins = np.flatnonzero(inside < np.repeat(sizes - SHINGLE + 1, sizes))
    hashes = _mixed(numbers[begins])
    for step in range(1, SHINGLE):
        hashes = _mixed(hashes + numbers[begins + step])
    counts = sizes - SHINGLE + 1
    return hashes, np.cumsum(counts) - counts


def _mixed(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014, figure 17); it wraps around on purpose."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _candidates(signatures: Hashes) -> Pairs:
    """Pairs that share a band and whose signatures agree well enough to be worth comparing.  # (pairs, 2)"""
    texts = signatures.shape[1]
    codes = np.unique(np.concatenate([band for band in _neighbours(signatures)]))
    kept = [
        chunk[(signatures[:, chunk // texts] == signatures[:, chunk % texts]).mean(axis=0) >= THRESHOLD - SLACK]
        for chunk in np.array_split(codes, len(codes) // 50_000 + 1)
    ]
    chosen = np.concatenate(kept)
    return np.stack([chosen // texts, chosen % texts], axis=1)


def _neighbours(signatures: Hashes) -> Iterator[npt.NDArray[np.int64]]:
    """Pairs that meet in a bucket, band by band, each coded as `low * texts + high`."""
    texts = signatures.shape[1]
    for band in signatures.reshape(BANDS, BAND_WIDTH, texts):
        bucket = band[0]
        for row in band[1:]:
            bucket = _mixed(bucket) + row
        order = np.argsort(bucket, kind="stable")
        ordered = bucket[order]
        for lag in range(1, min(LAGS, texts - 1) + 1):
            meets = np.flatnonzero(ordered[lag:] == ordered[:-lag])
            yield order[meets] * texts + order[meets + lag]
            if not len(meets):
                break


def _sides(key: bytes) -> list[set[tuple[int, ...]]]:
    numbers = np.frombuffer(key, dtype=np.uint32).tolist()
    cuts = [-1, *(at for at, number in enumerate(numbers) if number == _BOUNDARY), len(numbers)]
    return [_shingles(numbers[low + 1 : high]) for low, high in zip(cuts, cuts[1:], strict=False)]


def _shingles(numbers: list[int]) -> set[tuple[int, ...]]:
    if len(numbers) < SHINGLE:
        return {tuple(numbers)}
    return set(zip(*(numbers[step:] for step in range(SHINGLE)), strict=False))


def _similarity(one: list[set[tuple[int, ...]]], other: list[set[tuple[int, ...]]]) -> float:
    """Jaccard similarity of the less similar side."""
    return min(len(a & b) / len(a | b) for a, b in zip(one, other, strict=False))
