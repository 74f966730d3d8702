"""The Pareto rule: what no other beats in one respect without losing in another."""

from collections.abc import Hashable, Mapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)

Point = tuple[float, ...]
"""A number for every respect; less is better in each."""


def pareto_front(points: Mapping[K, Point]) -> set[K]:
    """Names of the points that no other point is better than: nowhere worse, and not the same.

    Whatever beats a point comes before it in the order of tuples, and is on the front or beaten by one that is; so
    each is compared with the front so far, and 10,000 points take no time.
    """
    front: list[Point] = []
    for point in sorted(set(points.values())):
        if not any(all(a <= b for a, b in zip(one, point, strict=True)) for one in front):
            front.append(point)
    best = set(front)
    return {name for name, point in points.items() if point in best}
