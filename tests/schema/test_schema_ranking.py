"""One rule says which run is the better one."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tunery.schema.results.direction import Direction
from tunery.schema.results.ranking import ranking_key

DIRECTIONS = st.sampled_from(["maximize", "minimize"])
NUMBERS = st.sampled_from([0.25, 0.5, 0.75, None, math.nan])
RUNS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8)


def known(number: float | None) -> bool:
    return number is not None and not math.isnan(number)


@given(RUNS, DIRECTIONS)
def test_value_then_loss_then_number_and_what_is_not_known_last(
    runs: list[tuple[float | None, float | None]], direction: Direction
) -> None:
    order = sorted(range(len(runs)), key=lambda place: ranking_key(*runs[place], place, direction=direction))
    assert sorted(order) == list(range(len(runs)))
    for first, second in zip(order, order[1:], strict=False):
        (value, loss), (worse_value, worse_loss) = runs[first], runs[second]
        assert known(value) or not known(worse_value)
        if known(value) and known(worse_value) and value != worse_value:
            assert (value > worse_value) == (direction == "maximize")  # type: ignore[operator]
        elif known(value) == known(worse_value):
            assert known(loss) or not known(worse_loss)
            if known(loss) and known(worse_loss):
                assert loss <= worse_loss and (loss != worse_loss or first < second)  # type: ignore[operator]
            elif known(loss) == known(worse_loss):
                assert first < second
