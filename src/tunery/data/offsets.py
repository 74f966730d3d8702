"""Character offsets in place of labels: numbers of the characters of a text that are evidence."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

RUNS: Final = 0.5
"""Share of the steps from number to number that are 1 where numbers are offsets."""
_LARGE: Final = 20
"""A number that offsets of some text reach, and numbers of labels seldom do."""


def are_offsets(cells: Iterable[tuple[Sequence[str], int]]) -> bool:
    """Whether lists of whole numbers are runs of consecutive ones inside their texts.

    Args:
        cells: for each row the items of its list, and how many characters its text has.
    """
    steps = runs = largest = 0
    for items, length in cells:
        if not all(item.isdecimal() for item in items):
            return False
        numbers = [int(item) for item in items]
        if any(high <= low for low, high in pairwise(numbers)) or any(number >= length for number in numbers[-1:]):
            return False
        steps += max(0, len(numbers) - 1)
        runs += sum(high - low == 1 for low, high in pairwise(numbers))
        largest = max(largest, *numbers[-1:], 0)
    return largest >= _LARGE and steps > 0 and runs >= RUNS * steps
