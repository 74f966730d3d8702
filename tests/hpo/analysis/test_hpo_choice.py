"""The best of many looks better than it is, by what `advantage_of_choice` says."""

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tunery.hpo.analysis.choice import advantage_of_choice

ROWS = 300


def accuracy(right: npt.NDArray[np.bool_], rows: npt.NDArray[np.int64], *, sign: int = 1) -> float | None:
    return sign * float(right[rows].mean()) if len(rows) else None


def best_first(rates: npt.NDArray[np.float64], seed: int) -> list[npt.NDArray[np.bool_]]:
    """Which rows each trial answers rightly, when it does so with a given rate."""
    rng = np.random.default_rng(seed)
    return sorted((rng.random(ROWS) < rate for rate in rates), key=lambda right: -float(right.mean()))


@pytest.mark.parametrize("rates", [np.full(20, 0.7), np.linspace(0.6, 0.8, 20), np.array([0.9, 0.5])])
def test_it_is_what_the_best_loses_on_other_rows(rates: npt.NDArray[np.float64]) -> None:
    """True rates are known here; the mean over many studies leaves the chance of a single one out."""
    found, lost = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        drawn = [(rng.random(ROWS) < rate, rate) for rate in rates]
        drawn.sort(key=lambda trial: -float(trial[0].mean()))
        lost.append(float(drawn[0][0].mean()) - drawn[0][1])
        scores = [partial(accuracy, right) for right, _ in drawn]
        found.append(advantage_of_choice(scores, ROWS, direction="maximize", draws=40) or 0.0)
    assert abs(np.mean(found) - np.mean(lost)) < 0.012
    if len(rates) == 20:
        assert np.mean(lost) > 0.015


def test_a_lower_error_is_as_much_too_good() -> None:
    trials = best_first(np.full(8, 0.7), seed=1)
    up = advantage_of_choice([partial(accuracy, right) for right in trials], ROWS, direction="maximize")
    down = advantage_of_choice([partial(accuracy, right, sign=-1) for right in trials], ROWS, direction="minimize")
    assert up is not None and down == pytest.approx(-up)


def test_one_trial_was_not_chosen_and_an_undefined_objective_says_nothing() -> None:
    def undefined(rows: Any) -> float | None:
        return None

    assert advantage_of_choice([undefined], ROWS, direction="maximize") == 0.0
    assert advantage_of_choice([undefined, undefined], ROWS, direction="maximize") is None
