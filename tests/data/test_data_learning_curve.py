"""Power laws through scores: on laws that are known, and what is said where no law is seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.data.learning_curve import SHARES, fit_power_laws, jackknife_covariance, missing, nested_order

SIZES = [1000 * share for share in SHARES]


def law(rows: float, a: float, b: float, c: float) -> float:
    return float(a - b * rows**-c)


@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.0, 2.0])
def test_without_noise_the_law_is_found(exponent: float) -> None:
    b = 0.3 * SIZES[0] ** exponent
    scores = np.array([law(rows, 0.9, b, exponent) for rows in SIZES])
    laws = fit_power_laws(SIZES, scores, 1e-8 * np.eye(4))
    assert laws.rises and laws.fits
    for times in (1, 2, 4):
        predicted, expected = laws.at(1000 * times), law(1000 * times, 0.9, b, exponent)
        assert predicted.score == pytest.approx(expected, abs=4e-3)
        assert predicted.low - 3e-3 <= expected <= predicted.high + 3e-3 and predicted.says_something


def test_what_is_missing_are_gains_of_the_law() -> None:
    scores = {times: law(1000 * times, 0.8, 5.0, 0.4) for times in (0.125, 0.5, 1, 2, 4)}
    gain = scores[1] - scores[0.5]
    for times, value in scores.items():
        assert scores[1] - gain * float(missing(times, 0.4)) == pytest.approx(value)


def test_intervals_hold_what_comes_of_drawn_laws() -> None:
    draw, held = np.random.default_rng(0), []
    for _ in range(80):
        a, c = draw.uniform(0.6, 0.95), draw.uniform(0.3, 1.0)
        b = draw.uniform(0.15, 0.4) * SIZES[0] ** c
        common, own = draw.normal(scale=0.01), draw.normal(scale=0.005, size=4)
        scores = np.array([law(rows, a, b, c) for rows in SIZES]) + common + own
        laws = fit_power_laws(SIZES, scores, 0.01**2 * np.ones((4, 4)) + 0.005**2 * np.eye(4))
        held += [laws.at(rows).low <= law(rows, a, b, c) <= laws.at(rows).high for rows in (2000, 4000)]
    assert 0.88 <= np.mean(held) <= 1.0


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.floats(1e-4, 0.1))
def test_more_rows_are_never_predicted_to_be_worse_nor_better_than_the_best(scores: list[float], noise: float) -> None:
    laws = fit_power_laws(SIZES, np.array(scores), noise**2 * np.eye(4))
    at = [laws.at(rows) for rows in (1000, 2000, 4000)]
    assert at[0].score <= at[1].score + 1e-9 and at[1].score <= at[2].score + 1e-9
    assert all(one.low <= one.score <= one.high for one in at)


def test_nothing_is_said_where_nothing_rises_or_gains_grow() -> None:
    flat = fit_power_laws(SIZES, np.array([0.7, 0.69, 0.71, 0.7]), 0.01**2 * np.eye(4))
    assert not flat.rises and not flat.at(2000).says_something
    growing = fit_power_laws(SIZES, np.array([0.1, 0.12, 0.2, 0.6]), 0.01**2 * np.eye(4))
    assert growing.rises and not growing.fits and not growing.at(2000).says_something
    wide = fit_power_laws(SIZES, np.array([0.5, 0.53, 0.56, 0.61]), 0.03**2 * np.eye(4))
    assert wide.rises and not wide.at(100_000).says_something


@given(st.integers(1, 4), st.integers(0, 1000), st.integers(1, 80))
def test_every_beginning_of_the_order_has_its_share_of_every_kind(kinds: int, seed: int, rows: int) -> None:
    draw = np.random.default_rng(seed)
    given_kinds = draw.integers(kinds, size=rows)
    order = nested_order(given_kinds, np.random.default_rng(seed))
    assert sorted(order.tolist()) == [*range(rows)]
    for length in range(1, rows + 1):
        for kind in range(kinds):
            share = (given_kinds == kind).sum() * length / rows
            assert abs((given_kinds[order[:length]] == kind).sum() - share) <= kinds


def test_the_covariance_is_that_of_the_mean_of_blocks() -> None:
    draw = np.random.default_rng(0)
    values = draw.normal(size=(20, 2)) @ np.array([[1.0, 0.5], [0.0, 1.0]])
    without = np.stack([np.delete(values, block, axis=0).mean(axis=0) for block in range(20)])
    assert np.allclose(jackknife_covariance(without), np.cov(values.T) / 20)
