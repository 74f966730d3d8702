"""Metrics of numbers against scipy and scikit-learn, and intervals against their guarantee."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from tunery.data.number_metrics import (
    conformal_quantile,
    interval_metrics,
    interval_of,
    least_rows,
    level_probabilities,
    masses,
    middle_levels,
    number_metrics,
    points,
    spread,
)

UNDEFINED = {"spearman": None, "pearson": None}


@pytest.mark.parametrize("digits", [0, 5])
@pytest.mark.parametrize("scale", [1.0, 1e-80, 1e80])
def test_metrics_are_those_of_other_libraries(digits: int, scale: float) -> None:
    draw = np.random.default_rng(digits)
    right = scale * draw.normal(size=200).round(digits)
    answers = right / 2 + scale * draw.normal(size=200).round(digits)
    found = number_metrics(answers, right)
    assert found["spearman"] == pytest.approx(stats.spearmanr(answers, right).statistic)
    assert found["pearson"] == pytest.approx(stats.pearsonr(answers / scale, right / scale).statistic)
    assert found["r2"] == pytest.approx(r2_score(right / scale, answers / scale))
    assert found["mse"] == pytest.approx(mean_squared_error(right, answers))
    assert found["mae"] == pytest.approx(mean_absolute_error(right, answers))


def test_what_is_undefined_is_none() -> None:
    rising, equal = np.arange(5.0), np.full(5, 0.1)
    assert number_metrics(rising, equal) == {
        **UNDEFINED,
        "r2": None,
        "mse": pytest.approx(5.61),
        "mae": pytest.approx(1.94),
    }
    constant = number_metrics(equal, rising)
    assert constant | UNDEFINED == constant and constant["r2"] == pytest.approx(1 - (2 + 1.9**2) / 2)
    assert number_metrics(np.ones(1), np.ones(1)) == {**UNDEFINED, "r2": None, "mse": 0.0, "mae": 0.0}


@given(st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=20), st.integers(0, 2**32 - 1))
def test_metrics_are_finite_or_none(right: list[float], seed: int) -> None:
    answers = np.random.default_rng(seed).choice(right, size=len(right))
    found = number_metrics(answers, np.array(right))
    assert all(value is None or math.isfinite(value) for value in found.values())
    assert all(found[name] is None or -1 <= found[name] <= 1 for name in UNDEFINED)
    mean, deviation = spread(right)
    assert math.isfinite(mean) and 0 < deviation < math.inf


def test_the_quantile_is_the_smallest_that_holds_enough() -> None:
    scores = np.array([5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 8.0, 6.0, 7.0])
    assert conformal_quantile(scores, 0.9) == 9.0, "of nine the largest"
    assert conformal_quantile(scores[:8], 0.9) is None
    assert conformal_quantile(scores, 0.5) == 5.0
    for coverage in (0.05, 0.5, 0.55, 0.7, 0.8, 0.9, 0.95, 0.99):
        least = least_rows(coverage)
        assert conformal_quantile(np.arange(float(least)), coverage) is not None
        assert conformal_quantile(np.arange(float(least - 1)), coverage) is None


@pytest.mark.parametrize(("rows", "coverage"), [(9, 0.9), (30, 0.9), (99, 0.8), (50, 0.5)])
def test_new_rows_are_covered_as_often_as_asked_for(rows: int, coverage: float) -> None:
    """Over draws, the mean coverage is within the bounds that split conformal prediction has (Lei et al. 2018, theorem
    2.1), give or take four standard errors of a binomial share."""
    draws, draw = 4000, np.random.default_rng(rows)
    scores = draw.exponential(size=(draws, rows + 1))
    hits = [score[-1] <= conformal_quantile(score[:-1], coverage) for score in scores]  # type: ignore[operator]
    slack = 4 * math.sqrt(coverage * (1 - coverage) / draws)
    assert coverage - slack <= np.mean(hits) <= coverage + 1 / (rows + 1) + slack


def test_intervals_of_levels_cover_as_often_as_asked_for() -> None:
    """With a model whose probabilities are wrong, which widens them and costs no coverage."""
    draw, hits, draws = np.random.default_rng(0), list[bool](), 1500
    for _ in range(draws):
        hidden = draw.normal(size=(41, 1))
        logits = 4 * hidden + np.array([3.0, 0.5, -1.0, -4.0])
        levels = (hidden[:, 0] + draw.logistic(size=41) / 2 > np.array([[-0.8], [0.0], [0.3], [1.0]])).sum(axis=0)
        mass, middle = masses(level_probabilities(logits), middle_levels(logits)), middle_levels(logits)
        needed = mass[np.arange(41), levels]
        quantile = conformal_quantile(needed[:-1], 0.8)
        assert quantile is not None
        low, high = interval_of(mass[-1:], middle[-1:], quantile)
        hits.append(bool(low[0] <= levels[-1] <= high[0]))
    assert np.mean(hits) >= 0.8 - 4 * math.sqrt(0.16 / draws)


@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_intervals_grow_around_the_answer_by_the_more_probable_neighbour(levels: int, seed: int) -> None:
    logits = -np.sort(-np.random.default_rng(seed).normal(scale=2, size=(1, levels - 1)))
    chances, start = level_probabilities(logits)[0], int(middle_levels(logits)[0])
    assert chances.sum() == pytest.approx(1) and (chances >= 0).all()
    assert chances[:start].sum() <= 0.5 + 1e-9 and chances[: start + 1].sum() >= 0.5 - 1e-9, "the median"
    expected, low, high = {start: chances[start]}, start, start
    while high - low + 1 < levels:
        if high + 1 < levels and (low == 0 or chances[high + 1] > chances[low - 1]):
            high += 1
            expected[high] = chances[low : high + 1].sum()
        else:
            low -= 1
            expected[low] = chances[low : high + 1].sum()
    mass = masses(chances[None], np.array([start]))
    assert mass[0].tolist() == pytest.approx([expected[level] for level in range(levels)])
    bounds = [interval_of(mass, np.array([start]), quantile) for quantile in np.linspace(0, 1.1, 12)]
    assert all(low[0] <= start <= high[0] for low, high in bounds)
    assert all(b[0] <= a[0] and a[1] <= b[1] for a, b in pairwise(bounds))
    assert [int(end[0]) for end in bounds[-1]] == [0, levels - 1]


def test_coverage_and_width_are_those_of_the_rows() -> None:
    low, high, right = np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, 6.0]), np.array([1.0, 2.0, 2.0])
    assert interval_metrics(low, high, right) == {"interval_coverage": 2 / 3, "interval_width": 5 / 3}


@pytest.mark.parametrize(("rows", "shown"), [(1, 1), (300, 300), (301, 151), (5000, 295)])
def test_points_are_of_some_rows_from_everywhere(rows: int, shown: int) -> None:
    right: Any = np.arange(rows) / 7
    drawn = points(right + 1, right)
    assert len(drawn) == shown <= 300
    assert all(given - known == pytest.approx(1, abs=1e-2) for known, given in drawn)
