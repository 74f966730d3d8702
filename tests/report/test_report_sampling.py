"""Which trials are drawn."""

from hypothesis import given
from hypothesis import strategies as st

from tunery.report.compute.sampling import best_indices, sample_note, sampled


@given(st.integers(0, 500), st.integers(1, 100), st.sets(st.integers(0, 499), max_size=60))
def test_a_sample_is_as_large_as_allowed_holds_what_is_kept_and_is_even(count: int, most: int, kept: set[int]):
    kept = {index for index in kept if index < count}
    found = sampled(count, most, kept=kept)
    assert found == sorted(set(found)) and kept <= set(found)
    assert len(found) == (count if count <= most else max(most, len(kept)))
    assert all(0 <= index < count for index in found)
    others = [index for index in range(count) if index not in kept]
    places = [others.index(index) for index in found if index not in kept]
    gaps = {after - before for before, after in zip(places, places[1:], strict=False)}
    step = len(others) // max(1, len(places))
    assert gaps <= {step, step + 1} and places[:1] in ([], [0])


@given(st.lists(st.floats(-1, 1), min_size=1), st.sampled_from(["maximize", "minimize"]))
def test_the_best_indices_hold_nothing_worse_than_the_others(values: list[float], direction: str):
    best = best_indices(values, direction, most=3)
    others = [values[index] for index in range(len(values)) if index not in best]
    inside = [values[index] for index in best]
    assert len(best) == min(3, len(values))
    assert not others or (min(inside) >= max(others) if direction == "maximize" else max(inside) <= min(others))


def test_a_sample_says_so():
    assert sample_note(5, 5) == ""
    told = "400 of 10,000 trials are drawn: the Pareto-optimal ones and an even sample of the others."
    assert sample_note(400, 10_000, kept="the Pareto-optimal ones") == told
