"""Which texts share a sequence: as few sequences as a simple rule finds, always the same."""

from bisect import bisect_left, insort

import numpy as np
import numpy.typing as npt


def packs(lengths: npt.NDArray[np.int64], capacity: int) -> list[list[int]]:
    """Numbers of the texts in each sequence; a sequence has at most `capacity` tokens, and every text is in one.

    Best fit decreasing (Johnson 1974, "Fast algorithms for bin packing"): the longest text first, each into the
    sequence in which it leaves least room; at most 11/9 of the fewest sequences that there could be, and 4 more.

    Args:
        lengths: tokens of each text, (texts,), at most `capacity`.
    """
    result: list[list[int]] = []
    rooms: list[int] = []  # that some sequence has, ascending, each once
    with_room: dict[int, list[int]] = {}
    for text in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[text])
        place = bisect_left(rooms, length)
        if place == len(rooms):
            number, room = len(result), capacity
            result.append([])
        else:
            room = rooms[place]
            number = with_room[room].pop()
            if not with_room[room]:
                del rooms[place], with_room[room]
        result[number].append(text)
        left = room - length
        if left not in with_room:
            with_room[left] = []
            insort(rooms, left)
        with_room[left].append(number)
    return result
