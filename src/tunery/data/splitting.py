"""Which training rows become a missing split.

Rows that belong together (one group, or the same text) stay together, every label keeps some training rows, and each
label gives its share. Strata are the rarest label of a row, as in Sechidis et al. 2011; what one stratum cannot give
exactly, the next one makes up for, so that the total is right.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tunery.data.examples import Example
from tunery.data.rng import row_generator

Stratum = Callable[[Example], frozenset[str]]


@dataclass(frozen=True, eq=False, slots=True)
class _Unit:
    """Rows that stay together, and all labels among them."""

    rows: tuple[int, ...]
    labels: frozenset[str]


def text_key(example: Example) -> str:
    """What two rows share when they hold the same text: case and white space do not count."""
    text = " ".join(example.text.casefold().split())
    if example.text_pair is None:
        return text
    return f"{text}\n{' '.join(example.text_pair.casefold().split())}".strip()


def by_label(example: Example) -> frozenset[str]:
    """The stratum of rows that have labels."""
    return _as_set(example.labels)


@lru_cache(maxsize=100_000)
def _as_set(labels: tuple[str, ...]) -> frozenset[str]:
    return frozenset(labels)


def split_off(
    examples: Sequence[Example], shares: Mapping[str, float], *, stratum: Stratum = by_label, seed: int
) -> dict[str, list[int]]:
    """Row numbers of each split that is taken from `examples`, and of `train`, which keeps the rest; ascending.

    A split for which there are no rows is empty.

    Args:
        shares: split name -> wanted share of all rows, between 0 and 1.
        stratum: what each split should have its share of.
    """
    together: dict[bytes, list[int]] = defaultdict(list)
    for row, example in enumerate(examples):
        together[_shared_key(row, example)].append(row)
    pool = [
        _Unit(
            tuple(rows),
            stratum(examples[rows[0]])
            if len(rows) == 1
            else frozenset().union(*(stratum(examples[row]) for row in rows)),
        )
        for rows in together.values()
    ]
    together.clear()
    units: dict[str, Collection[_Unit]] = {}
    for position, (name, share) in enumerate(shares.items(), start=1):
        # the purpose is the key of the random numbers: another one would give other splits than earlier versions did
        generator = row_generator(seed, epoch=0, row=0, purpose=f"carve {name}")
        units[name] = _choose(pool, share * len(examples), later=len(shares) - position, generator=generator)
        pool = [unit for unit in pool if unit not in units[name]]
    units["train"] = pool
    return {name: sorted(row for unit in chosen for row in unit.rows) for name, chosen in units.items()}


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
