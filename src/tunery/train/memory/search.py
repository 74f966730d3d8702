"""The most rows of a pass that fit, from what is predicted and at most three passes that are tried."""

from collections.abc import Callable
from typing import Final, NamedTuple

PROBES: Final = 3
"""Passes that are tried at most."""
_DOUBT: Final = 1.5
"""What activations may take over what is predicted, where nothing was ever measured."""
_FIRST: Final = 0.3
"""Share of the room for activations that the first pass is meant to take: on a host, what asks for too much may be
killed."""
_NEAR: Final = 1.15
"""Rows over those of the largest pass that was tried, up to which what was measured is relied upon."""

Probe = Callable[[int], int | None]
"""Rows -> bytes that a pass has really taken at its highest, the gradients among them; None: memory ran out."""


class Line(NamedTuple):
    """Bytes of a pass = `rest` + `each` * rows."""

    rest: float
    each: float

    def at(self, rows: int) -> float:
        """Bytes of a pass of so many rows."""
        return self.rest + self.each * rows

    def rows(self, size: float) -> int:
        """The most rows that take at most so many bytes; 0 where one takes more."""
        return max(int((size - self.rest) / self.each), 0)

    def times(self, ratio: float) -> "Line":
        """The line of what takes so many times as much."""
        return Line(self.rest * ratio, self.each * ratio)


class Found(NamedTuple):
    """What was found."""

    rows: int
    """0 where not even one row fits."""
    ratio: float | None
    """What activations really take over what was predicted; None where nothing was tried, or nothing predicted."""
    probes: int = 0


def most_rows(
    predicted: Line | None,
    *,
    gradients: int,
    fixed: int,
    room: float,
    most: int,
    probe: Probe,
    share: float,
    ratio: float | None = None,
) -> Found:
    """The most rows of a pass that fit, at most `most`.

    Args:
        predicted: bytes of activations; None where they cannot be predicted.
        gradients: bytes, which a probe has too.
        fixed: bytes that are there in every pass: gradients and the state of the optimizer.
        room: bytes that the run may take beside its model.
        share: of the room for activations that a pass may take: what is freed leaves gaps.
        ratio: what activations took over what was predicted, for other models.
    """
    room = room - fixed
    if predicted is not None and ratio is not None:
        return Found(min(predicted.times(ratio).rows(share * room), most), None)
    if predicted is not None and predicted.times(_DOUBT).at(most) <= room:
        return Found(most, None)
    rows = 1 if predicted is None else min(max(predicted.rows(_FIRST * room), 1), most)
    seen: list[tuple[int, int]] = []
    found, limit, tried = 0, most, 0
    while tried < PROBES and rows > 0:
        taken = probe(rows)
        tried += 1
        if taken is None:
            limit, found = rows - 1, seen[-1][0] if seen else 0
            rows = (found + rows) // 2 if seen else rows // 4
            if rows == found:
                break
            continue
        seen = sorted([*seen, (rows, max(taken - gradients, 1))])
        line = _through(seen, predicted)
        if limit < most:  # more has failed: what was tried and went well is what there is
            found = seen[-1][0]
            break
        found = min(line.rows(share * room), limit)
        if found <= _NEAR * seen[-1][0]:
            break
        rows = min(max(found, 1), limit)
    largest = seen[-1] if seen else None
    measured = largest[1] / predicted.at(largest[0]) if largest and predicted is not None else None
    return Found(found, measured, tried)


def _through(seen: list[tuple[int, int]], predicted: Line | None) -> Line:
    """The line through the two largest passes that were tried; of one, the predicted line as much higher, or one
    without a rest, which overestimates."""
    rows, taken = seen[-1]
    if len(seen) > 1:
        fewer, less = seen[-2]
        each = (taken - less) / (rows - fewer)
        if each > 0:
            return Line(taken - each * rows, each)
    return Line(0.0, taken / rows) if predicted is None else predicted.times(taken / predicted.at(rows))
