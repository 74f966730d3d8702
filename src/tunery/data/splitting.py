"""Which training rows become a missing split.

Rows that belong together (one group, or the same text) stay together, every label keeps some training rows, and each
label gives its share. Strata are the rarest label of a row, as in Sechidis et al. 2011; what one stratum cannot give
exactly, the next one makes up for, so that the total is right.

Where there are too few texts to be split off whole, and they teach nothing but their tokens, a split is a part of them.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tunery.data.examples import Example
from tunery.data.rng import row_generator

Strata = Callable[[Sequence[Example]], Sequence[frozenset[str]]]
"""Rows -> for each the kinds that it is of."""

FOLDS: Final = 5
"""Parts of the validation rows, each scored with what is fitted to the others."""
_MOST_BINS: Final = 10
_ROWS_PER_BIN: Final = 10
"""At least, so that a tenth of the rows has one of each bin."""

_BREAKS: Final = tuple(re.compile(form) for form in (r"\n[^\S\n]*\n\s*", r"\n\s*", r"\s+"))
"""Where texts are cut: between paragraphs, else between lines, else between words."""
_FARTHEST: Final = 100_000
"""Characters from the wanted place in which such a break is looked for at most."""


@dataclass(frozen=True, eq=False, slots=True)
class _Unit:
    """Rows that stay together, and all labels among them."""

    rows: tuple[int, ...]
    labels: frozenset[str]


def fold_of_rows(rows: int) -> npt.NDArray[np.int64]:
    """The part that each row is in, drawn at random, the same in every call: (rows,)."""
    fold: npt.NDArray[np.int64] = row_generator(0, epoch=0, row=0, purpose="folds").permutation(rows) % FOLDS
    return fold


def text_key(example: Example) -> str:
    """What two rows share when they hold the same text: case and white space do not count."""
    text = " ".join(example.text.casefold().split())
    if example.text_pair is None:
        return text
    return f"{text}\n{' '.join(example.text_pair.casefold().split())}".strip()


def by_label(examples: Sequence[Example]) -> Sequence[frozenset[str]]:
    """Rows with the same labels are of one kind."""
    return [_as_set(example.labels) for example in examples]


def by_number(examples: Sequence[Example]) -> Sequence[frozenset[str]]:
    """Rows whose numbers are in one bin are of one kind; all rows have a number."""
    bins = number_bins([example.number or 0.0 for example in examples])
    return [frozenset({str(number)}) for number in bins.tolist()]


def number_bins(numbers: Sequence[float] | npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The bin of each number, from 0: up to ten of about as many rows each, ten or more; equal numbers share one."""
    count = min(_MOST_BINS, max(1, len(numbers) // _ROWS_PER_BIN))
    if count == 1:
        return np.zeros(len(numbers), dtype=np.int64)
    inner = np.unique(np.quantile(numbers, np.arange(1, count) / count))
    bins: npt.NDArray[np.int64] = np.searchsorted(inner, numbers, side="left")
    return bins


@lru_cache(maxsize=100_000)
def _as_set(labels: tuple[str, ...]) -> frozenset[str]:
    return frozenset(labels)


def split_off(
    examples: Sequence[Example], shares: Mapping[str, float], *, strata: Strata = by_label, seed: int
) -> dict[str, list[int]]:
    """Row numbers of each split that is taken from `examples`, and of `train`, which keeps the rest; ascending.

    A split for which there are no rows is empty.

    Args:
        shares: split name -> wanted share of all rows, between 0 and 1.
        strata: what each split should have its share of.
    """
    pool = _units(examples, strata)
    units: dict[str, Collection[_Unit]] = {}
    for position, (name, share) in enumerate(shares.items(), start=1):
        # the purpose is the key of the random numbers: another one would give other splits than earlier versions did
        generator = row_generator(seed, epoch=0, row=0, purpose=f"carve {name}")
        units[name] = _choose(pool, share * len(examples), later=len(shares) - position, generator=generator)
        pool = [unit for unit in pool if unit not in units[name]]
    units["train"] = pool
    return {name: sorted(row for unit in chosen for row in unit.rows) for name, chosen in units.items()}


def stratified_folds(
    examples: Sequence[Example], count: int, *, strata: Strata = by_label, seed: int, repeat: int = 0
) -> npt.NDArray[np.int64]:
    """The fold of each row, from 0 to `count` - 1: (rows,); -1 for rows of a kind that must stay in training.

    Each unit, those of the rarest kinds first, goes to the fold that still lacks most rows of its rarest kind, then of
    all its kinds, then most rows at all (Sechidis et al. 2011, section 4.1, with units of several rows). A kind that
    one unit alone has would be unknown to a model that is trained without that unit, so that it is in no fold.

    Args:
        repeat: rows are shared out in another way for each.
    """
    units = _units(examples, strata)
    holders = Counter(kind for unit in units for kind in unit.labels)
    pool = [unit for unit in units if all(holders[kind] > 1 for kind in unit.labels)]
    rows_of = Counter(kind for unit in pool for kind in unit.labels for _ in unit.rows)
    lacks = {kind: np.full(count, rows / count) for kind, rows in rows_of.items()}
    lacks_rows = np.full(count, sum(len(unit.rows) for unit in pool) / count)
    held_by = {kind: np.zeros(count, dtype=np.int64) for kind in rows_of}
    fold = np.full(len(examples), -1, dtype=np.int64)
    generator = row_generator(seed, epoch=0, row=repeat, purpose="cross-validation")
    for stratum in _strata(pool, Counter(kind for unit in pool for kind in unit.labels)):
        rarest = min(stratum[0].labels, key=lambda kind: (holders[kind], kind), default=None)
        for position in generator.permutation(len(stratum)).tolist():
            unit, size = stratum[position], len(stratum[position].rows)
            # a fold with all holders of a kind would leave none for training
            is_open = np.array([all(held_by[k][f] + 1 < holders[k] for k in unit.labels) for f in range(count)])
            if not is_open.any():
                continue
            lacks_kinds = sum((lacks[kind] for kind in unit.labels), np.zeros(count))
            order = (lacks_rows, lacks_kinds, lacks_rows if rarest is None else lacks[rarest], is_open)
            chosen = int(np.lexsort(order)[-1])
            fold[list(unit.rows)] = chosen
            lacks_rows[chosen] -= size
            for kind in unit.labels:
                lacks[kind][chosen] -= size
                held_by[kind][chosen] += 1
    return fold


def _units(examples: Sequence[Example], strata: Strata) -> list[_Unit]:
    """Rows that stay together, in the order of their first rows."""
    kinds = strata(examples)
    together: dict[bytes, list[int]] = defaultdict(list)
    for row, example in enumerate(examples):
        together[_shared_key(row, example)].append(row)
    return [
        _Unit(
            tuple(rows),
            kinds[rows[0]] if len(rows) == 1 else frozenset().union(*(kinds[row] for row in rows)),
        )
        for rows in together.values()
    ]


def _shared_key(row: int, example: Example) -> bytes:
    """What a row has in common with those that it stays together with, in few bytes."""
    if example.group is not None:
        key = f"group {example.group}"
    else:
        text = text_key(example)
        key = f"text {text}" if text else f"row {row}"
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest()


def _choose(pool: Sequence[_Unit], wanted: float, *, later: int, generator: np.random.Generator) -> set[_Unit]:
    """Choose units of about `wanted` rows. A label always stays in some unit of the pool.

    A stratum with enough units gives one early even where its share is less than a row, as long as the strata after it
    can make up for it with half of what they have to give; `later` splits must still find a unit there too.
    """
    left = Counter(label for unit in pool for label in unit.labels)
    strata = _strata(pool, left)
    sizes = np.array([sum(len(unit.rows) for unit in stratum) for stratum in strata])
    shares = wanted / sizes.sum() * sizes if strata else sizes
    # spare[k]: half of what the strata from k on can give beyond one row each
    spare = np.append(np.maximum(shares - 1, 0)[::-1].cumsum()[::-1] / 2, 0.0)
    missing, chosen = 0.0, set()  # rows that are still to be chosen, below 0 where too many are
    for index, stratum in enumerate(strata):
        missing += float(shares[index])
        most_excess = max(float(spare[index + 1]), 1.0)
        gives_one_early = len(stratum) >= 2 + later
        for position in generator.permutation(len(stratum)).tolist():
            if 2 * missing < 1 and not gives_one_early:
                break
            unit, size = stratum[position], len(stratum[position].rows)
            is_wanted = size <= 2 * missing or (gives_one_early and size - missing <= most_excess)
            if is_wanted and all(left[label] > 1 for label in unit.labels):
                chosen.add(unit)
                left.subtract(unit.labels)
                missing, gives_one_early = missing - size, False
    return chosen


def _strata(pool: Sequence[_Unit], frequency: Mapping[str, int]) -> list[list[_Unit]]:
    """Units by their rarest label, small strata first."""
    strata: dict[str, list[_Unit]] = defaultdict(list)
    rarest: dict[frozenset[str], str] = {}
    for unit in pool:
        if unit.labels not in rarest:
            rarest[unit.labels] = min(unit.labels, key=lambda label: (frequency[label], label), default="")
        strata[rarest[unit.labels]].append(unit)
    return [strata[key] for key in sorted(strata, key=lambda key: (len(strata[key]), key))]


def cut_off(examples: Sequence[Example], shares: Mapping[str, float]) -> dict[str, list[Example]]:
    """The texts of each split, and of `train`, where splits are the end of all texts in their order: the last split is
    the last part. A text at such a place is cut between two paragraphs, lines or words, what is nearest.

    Args:
        shares: split name -> wanted share of all characters, between 0 and 1.
    """
    total = sum(len(example.text) for example in examples)
    farthest = min(int(total * min(shares.values())) // 4, _FARTHEST)
    kept = 1 - sum(shares.values())
    wanted = [round(total * share) for share in accumulate([kept, *shares.values()])][:-1]
    ends = [*_near_breaks(examples, wanted, farthest), total]
    pieces: dict[str, list[Example]] = {}
    for name, (begin, end) in zip(("train", *shares), pairwise([0, *ends]), strict=True):
        starts = accumulate((len(example.text) for example in examples), initial=0)
        parts = [
            replace(example, text=example.text[max(begin - start, 0) : max(end - start, 0)].strip("\n"))
            for start, example in zip(starts, examples, strict=False)
        ]
        pieces[name] = [part for part in parts if part.text.strip()]
    return pieces


def _near_breaks(examples: Sequence[Example], wanted: Sequence[int], farthest: int) -> Iterator[int]:
    """Characters of all texts, counted through, near those that are wanted: where a text is cut, or where it ends."""
    start, places = 0, list(wanted)
    for example in examples:
        end = start + len(example.text)
        while places and places[0] < end:
            yield start + _break(example.text, places.pop(0) - start, farthest)
        start = end
    yield from places


def _break(text: str, wanted: int, farthest: int) -> int:
    begin, end = max(wanted - farthest, 0), min(wanted + farthest, len(text))
    for breaks in _BREAKS:
        ends = [match.end() for match in breaks.finditer(text, begin, end)]
        if not begin:
            ends.append(0)
        if end == len(text):
            ends.append(end)
        if ends:
            return min(ends, key=lambda place: abs(place - wanted))
    return wanted
