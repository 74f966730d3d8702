"""Where names go beside the points of a drawing, so that none covers another. Knows pixels only."""

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

Pixel = tuple[float, float]

_RADII: Final = (7.0, 13.0, 21.0, 31.0, 43.0, 57.0, 74.0, 95.0, 120.0)
"""Pixels between a point and its name that are tried."""

_ANGLES: Final = tuple(math.radians(angle) for angle in (0, 30, -30, 60, -60, 90, -90, 120, -120, 150, -150, 180))
"""Directions from a point to its name that are tried, the preferred ones first."""

_MARK = 6.0
"""Half the side of the square around a point that names keep out of."""

_STEPS = 8
"""Points of a leader, the line from a point to its name, that are looked at."""


class Box(NamedTuple):
    """A rectangle, y pointing up."""

    left: float
    bottom: float
    right: float
    top: float

    def shared(self, other: "Box") -> float:
        """Area that both cover."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.top, other.top) - max(self.bottom, other.bottom)
        return wide * high if wide > 0 and high > 0 else 0.0

    def holds(self, point: Pixel) -> bool:
        """Whether the point lies inside."""
        return self.left < point[0] < self.right and self.bottom < point[1] < self.top

    def nearest(self, point: Pixel) -> Pixel:
        """The point of the box that is nearest to `point`."""
        return min(max(point[0], self.left), self.right), min(max(point[1], self.bottom), self.top)


def placed(points: Sequence[Pixel], sizes: Sequence[Pixel], *, within: Box, avoided: Sequence[Pixel] = ()) -> list[Box]:
    """A box of the given (width, height) for every point: near it, inside `within`, off other boxes and points.

    Greedy: the most crowded point chooses first. `avoided` are points that a name should not cover, such as of a line.
    """
    marks = [Box(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in points]
    boxes: dict[int, Box] = {}
    leaders: list[Pixel] = []
    for index in sorted(range(len(points)), key=lambda i: -_neighbours(points, i)):
        names = list(boxes.values())
        others = [*names, *marks[:index], *marks[index + 1 :]]
        room = _Room(within, [*names, *marks], others, leaders, avoided)
        boxes[index] = _best(_candidates(points[index], sizes[index]), points[index], room)
        leaders += _leader(boxes[index], points[index])
    return [boxes[index] for index in range(len(points))]


class _Room(NamedTuple):
    """What a name has to fit into."""

    within: Box
    taken: Sequence[Box]
    crossed: Sequence[Box]
    """What a leader should not run through."""
    leaders: Sequence[Pixel]
    avoided: Sequence[Pixel]


def _best(boxes: Iterator[Box], point: Pixel, room: _Room) -> Box:
    """The nearest box that covers nothing; where there is none, the one that covers least."""
    cheapest: tuple[float, Box] | None = None
    for box in boxes:
        penalty = _penalty(box, point, room)
        if not penalty:
            return box
        cost = penalty + math.dist(point, box.nearest(point))
        if cheapest is None or cost < cheapest[0]:
            cheapest = cost, box
    if cheapest is None:
        raise ValueError("there must be a box to choose, but got none")
    return cheapest[1]


def _neighbours(points: Sequence[Pixel], index: int) -> int:
    return sum(math.dist(points[index], other) < 60 for other in points)


def _candidates(point: Pixel, size: Pixel) -> Iterator[Box]:
    for radius in _RADII:
        for angle in _ANGLES:
            x = point[0] + math.cos(angle) * (radius + size[0] / 2)
            y = point[1] + math.sin(angle) * (radius + size[1] / 2)
            yield Box(x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2)


def _penalty(box: Box, point: Pixel, room: _Room) -> float:
    covered = sum(map(box.shared, room.taken))
    outside = (box.right - box.left) * (box.top - box.bottom) - box.shared(room.within)
    crossed = sum(map(box.holds, room.leaders)) + sum(n.holds(p) for p in _leader(box, point) for n in room.crossed)
    return 20.0 * covered + 20.0 * max(0.0, outside - 1e-6) + 40.0 * crossed + 6.0 * sum(map(box.holds, room.avoided))


def _leader(box: Box, point: Pixel) -> list[Pixel]:
    end = box.nearest(point)
    shares = [step / _STEPS for step in range(1, _STEPS)]
    return [(point[0] + s * (end[0] - point[0]), point[1] + s * (end[1] - point[1])) for s in shares]
