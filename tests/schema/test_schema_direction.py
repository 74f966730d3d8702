"""One meaning of better, whichever way a metric goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.schema.results.direction import Direction, best_of, is_better, minimized

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1)
DIRECTIONS = st.sampled_from(["maximize", "minimize"])


@given(VALUES, DIRECTIONS)
def test_nothing_is_better_than_the_best_and_sorting_puts_it_first(values: list[float], direction: Direction) -> None:
    best = best_of(values, direction)
    assert not any(is_better(value, best, direction=direction) for value in values)
    assert min(values, key=lambda value: minimized(value, direction)) == best


@pytest.mark.parametrize(("direction", "better"), [("maximize", 0.75), ("minimize", 0.25)])
def test_better_by_exactly_the_margin_is_not_enough(direction: Direction, better: float) -> None:
    assert is_better(better, 0.5, direction=direction) and not is_better(0.5, better, direction=direction)
    assert not is_better(better, 0.5, direction=direction, by=0.25)
    assert is_better(better, 0.5, direction=direction, by=0.125)
