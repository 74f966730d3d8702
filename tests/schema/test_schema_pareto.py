"""The Pareto rule against its definition."""

from hypothesis import given
from hypothesis import strategies as st

from tunery.schema.results.pareto import pareto_front

POINTS = st.dictionaries(st.integers(), st.tuples(*[st.integers(0, 4)] * 3), max_size=30)


@given(POINTS)
def test_the_front_is_what_no_other_beats(points: dict[int, tuple[float, ...]]) -> None:
    def beaten(point: tuple[float, ...]) -> bool:
        return any(o != point and all(a <= b for a, b in zip(o, point, strict=True)) for o in points.values())

    assert pareto_front(points) == {name for name, point in points.items() if not beaten(point)}


def test_equal_points_are_on_the_front_together() -> None:
    assert pareto_front({"a": (1, 2), "b": (1, 2), "c": (1, 3), "d": (0, 9)}) == {"a", "b", "d"}
