"""Which of many trials are drawn, so that a page of 10,000 trials opens as one of 100 does."""

from collections.abc import Collection, Sequence

from tunery.schema.results.direction import Direction, minimized


def sampled(count: int, most: int, *, kept: Collection[int] = ()) -> list[int]:
    """Indices below `count`, rising: all of them where they are at most `most`, else those `kept` and an even sample of
    the others, `most` in all.
    """
    if count <= most:
        return list(range(count))
    others = [index for index in range(count) if index not in kept]
    room = max(0, most - (count - len(others)))
    return sorted({*kept, *(others[step * len(others) // room] for step in range(room))})


def best_indices(values: Sequence[float], direction: Direction, *, most: int) -> set[int]:
    """Indices of the best values."""
    return set(sorted(range(len(values)), key=lambda index: minimized(values[index], direction))[:most])


def sample_note(drawn: int, of: int, *, kept: str = "the best ones") -> str:
    """`400 of 10,000 trials are drawn: the best ones and …`; empty where all are."""
    if drawn >= of:
        return ""
    return f"{drawn:,} of {of:,} trials are drawn: {kept} and an even sample of the others."
