"""Numbers behind the report of a comparison: order, axes, units, the front."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from report_records import make_comparison
from tunery.report.compute.comparison import (
    Cost,
    Interval,
    difference_intervals,
    interval_limits,
    memory_cost,
    memory_kind,
    ranked,
    score_intervals,
    time_cost,
    trade_off,
    trainable_cost,
)
from tunery.schema.results.comparison import ComparisonResult
from tunery.schema.results.run import Memory

NUMBERS = st.floats(min_value=-1e3, max_value=1e3)


def changed(result: ComparisonResult, **by_place: list[object]) -> ComparisonResult:
    """The same with fields of the methods replaced, in the order of the methods."""
    methods = tuple(
        method.model_copy(update={name: values[i] for name, values in by_place.items()})
        for i, method in enumerate(result.methods)
    )
    return result.model_copy(update={"methods": methods})


def point(value: float | None, *, reach: float = 0.0) -> Interval:
    low, high = (None, None) if value is None else (value - reach, value + reach)
    return Interval("m", value, low, high)


@pytest.mark.parametrize(("direction", "order"), [("maximize", [0.9, 0.7, None]), ("minimize", [0.7, 0.9, None])])
def test_the_best_comes_first_and_who_has_no_score_last(direction: str, order: list[float | None]):
    result = changed(make_comparison(3), mean=[None, 0.7, 0.9]).model_copy(update={"direction": direction})
    assert [method.mean for method in ranked(result)] == order


@given(st.lists(st.tuples(NUMBERS, st.floats(min_value=0, max_value=10)), min_size=1, max_size=20))
def test_the_axis_holds_all_that_it_does_not_count_as_hidden(rows: list[tuple[float, float]]):
    intervals = [point(value, reach=reach) for value, reach in sorted(rows, reverse=True)]
    limits = interval_limits(intervals)
    shown = intervals[: len(intervals) - limits.hidden]
    assert len(shown) >= min(2, len(intervals))
    ends = [end for row in shown for end in (row.low, row.high) if end is not None]
    assert limits.low < min(ends) and max(ends) < limits.high


def test_one_collapsed_method_does_not_hide_the_differences_of_the_others():
    limits = interval_limits([*(point(0.86 - i / 500, reach=0.004) for i in range(6)), point(0.31)])
    assert limits.hidden == 1
    assert limits.high - limits.low < 0.03


def test_a_method_that_is_clearly_worse_stays_in_view():
    assert interval_limits([point(0.86, reach=0.004), point(0.858, reach=0.004), point(0.82)]).hidden == 0


def test_every_seed_that_has_a_value_is_a_dot():
    dots = {row.method: len(row.dots) for row in score_intervals(make_comparison(4, seeds=5)).rows}
    assert sorted(dots.values()) == [4, 5, 5, 5]


def test_differences_have_zero_in_view_and_are_none_without_a_second_method():
    found = difference_intervals(make_comparison(5))
    assert found is not None and found.limits.low < 0 < found.limits.high
    assert difference_intervals(make_comparison(1)) is None


@pytest.mark.parametrize(
    ("seconds", "unit", "largest"), [(170.0, "s", 170), (300.0, "min", 5), (18_000.0, "h", 5), (None, "s", 0)]
)
def test_time_is_told_in_the_unit_of_the_largest(seconds: float | None, unit: str, largest: float):
    cost = time_cost(changed(make_comparison(2), seconds=[None, seconds]))
    assert (cost.unit, max(cost.values.values(), default=0)) == (unit, largest)


def test_memory_is_the_devices_where_all_have_one():
    device, host = Memory(host_peak_bytes=2 * 10**9, device_peak_bytes=5 * 10**8), Memory(host_peak_bytes=10**9)
    both, one = changed(make_comparison(2), memory=[device, device]), changed(make_comparison(2), memory=[device, host])
    assert (memory_kind(both), memory_cost(both).title) == ("device", "peak device memory (MB)")
    assert (memory_kind(one), list(memory_cost(one).values.values())) == ("host", [2, 1])


def test_a_cost_that_is_zero_or_unknown_is_no_point():
    result = make_comparison(3)
    frozen = result.methods[1].parameters
    assert frozen is not None
    none = changed(result, parameters=[None, frozen.model_copy(update={"trainable": 0}), frozen])
    assert list(trainable_cost(none).values) == [result.methods[2].method]


@pytest.mark.parametrize(
    ("direction", "front"), [("maximize", ["bitfit", "lora"]), ("minimize", ["bitfit", "dora", "none"])]
)
def test_the_front_has_whom_nobody_beats_without_losing(direction: str, front: list[str]):
    result = changed(make_comparison(4), mean=[0.8, 0.85, 0.9, 0.82]).model_copy(update={"direction": direction})
    cost = Cost("time", "s", {"none": 4, "bitfit": 1, "lora": 2, "dora": 3}, logarithmic=False)
    found = trade_off(result, cost)
    assert [point.method for point in found.front] == front


def test_a_collapsed_method_stands_at_the_edge_of_the_trade_off():
    result = changed(make_comparison(4), mean=[0.86, 0.859, 0.31, 0.858])
    found = trade_off(result, Cost("time", "s", {"none": 4, "bitfit": 3, "lora": 1, "dora": 2}, logarithmic=False))
    shown = {point.method: (point.shown, point.score) for point in found.points}
    assert found.limits.hidden == 1
    assert found.limits.low < shown["lora"][0] < 0.858 and shown["lora"][1] == 0.31
    assert all(one == other for name, (one, other) in shown.items() if name != "lora")
    assert found.front[0].method == "lora"


def test_equal_methods_are_all_on_the_front():
    result = changed(make_comparison(3), mean=[0.8] * 3)
    assert len(trade_off(result, Cost("time", "s", dict.fromkeys(["none", "bitfit", "lora"], 1.0), False)).front) == 3
