"""Which of several finished runs is the better one: one rule, whoever asks."""

import math

from tunery.schema.results.direction import Direction, minimized


def ranking_key(value: float | None, loss: float | None, *order: int, direction: Direction) -> tuple[float, ...]:
    """What completed runs are sorted by, best first: by the objective, equals by the loss, and those that are equal in
    both by `order`. What is not known, or is no number, comes last.

    Args:
        value: the objective on validation.
        loss: on validation.
        order: what tells apart the runs that are sorted together, such as a trial's number.
    """
    return (_unknown_last(None if value is None else minimized(value, direction)), _unknown_last(loss), *order)


def _unknown_last(number: float | None) -> float:
    return math.inf if number is None or math.isnan(number) else number
