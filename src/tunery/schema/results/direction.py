"""Which way a metric is better, and what follows from it."""

from collections.abc import Iterable, Mapping
from typing import Literal

Direction = Literal["maximize", "minimize"]

Metrics = Mapping[str, Direction]
"""Scalar metrics of a task; the first is the default objective. `loss` is among them."""


def minimized(value: float, direction: Direction) -> float:
    """The value, or its negative where more is better: less is then always better, and sorting puts the best first."""
    return -value if direction == "maximize" else value


def is_better(value: float, than: float, *, direction: Direction, by: float = 0.0) -> bool:
    """Whether `value` is better by more than `by`."""
    return minimized(than, direction) - minimized(value, direction) > by


def best_of(values: Iterable[float], direction: Direction) -> float:
    """The best of at least one value."""
    return max(values) if direction == "maximize" else min(values)
