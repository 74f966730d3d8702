"""The tests a comparison relies on: right about nothing, able to see something, and scipy's where scipy has them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from fast_and_slow import examples
from tunery.statistics import (
    Score,
    corrected_resampled_test,
    cross_validation_interval,
    holm,
    mean_interval,
    paired_test,
    pseudo_values,
)

ROWS, BLOCKS = 600, 30


def scores(right: NDArray[np.float64], blocks: int = BLOCKS) -> list[Score]:
    """Accuracy of runs (seeds, rows), with and without each block of rows."""
    in_block = right.reshape(len(right), -1, blocks).sum(axis=1)
    rows = right.shape[1]
    without = (right.sum(axis=1, keepdims=True) - in_block) / (rows - rows // blocks)
    return [Score(float(run.mean()), tuple(left.tolist())) for run, left in zip(right, without, strict=True)]


def plain(values: list[float]) -> list[Score]:
    return [Score(value) for value in values]


def simulated(rng: np.random.Generator, *, seeds: int, shift: float, noise: tuple[float, float, float]) -> list[Score]:
    """A method's answers: rows differ in difficulty; a method is better at some, a seed at all or at some."""
    by_seed, by_row, both = noise
    easy = rng.normal(2.0, 2.0, ROWS)
    runs = []
    for method in range(2):
        favour = easy + shift * method + rng.normal(0, by_row, ROWS)
        luck = rng.normal(0, by_seed, (seeds, 1)) + rng.normal(0, both, (seeds, ROWS))
        runs.append(favour + luck)
    return scores((np.concatenate(runs) > 0).astype(np.float64))


def share_below(level: float, **how: object) -> float:
    rng = np.random.default_rng(7)
    seeds = int(str(how["seeds"]))
    hits = 0
    for _ in range(400):
        found = simulated(rng, **how)  # type: ignore[arg-type]
        hits += (paired_test(found[seeds:], found[:seeds]).p_value or 0.0) <= level
    return hits / 400


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(
    ("noise", "least"),
    [((0.4, 0.0, 0.5), 0.02), ((0.0, 1.0, 0.3), 0.02), ((0.2, 0.5, 0.7), 0.02), ((0.0, 0.0, 1.0), 0.0)],
    ids=["seeds differ", "rows differ", "both", "a seed on a row"],
)
def test_without_a_difference_one_test_in_twenty_fires_or_fewer(
    seeds: int, noise: tuple[float, float, float], least: float
) -> None:
    assert least <= share_below(0.05, seeds=seeds, shift=0.0, noise=noise) <= 0.09


def test_a_real_difference_is_seen() -> None:
    assert share_below(0.05, seeds=3, shift=0.6, noise=(0.05, 0.3, 0.7)) > 0.8


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8).filter(
        lambda pairs: float(np.std([a - b for a, b in pairs])) > 1e-6
    )
)
def test_without_blocks_it_is_scipys_paired_t_test(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found, known = paired_test(plain(ours), plain(theirs)), stats.ttest_rel(ours, theirs)
    assert found.p_value == pytest.approx(float(known.pvalue), rel=1e-6)
    low, high = known.confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(float(low), abs=1e-9), pytest.approx(float(high), abs=1e-9))


def test_what_cannot_be_tested_is_not() -> None:
    assert paired_test(plain([0.9]), plain([0.8]))[1:] == (None, None, None)
    assert paired_test(plain([0.5, 0.7]), plain([0.5, 0.7])).p_value == 1.0
    assert mean_interval(plain([0.5])) is None


def test_pseudo_values_are_the_blocks_own_accuracies() -> None:
    right = np.random.default_rng(0).integers(0, 2, (2, ROWS)).astype(np.float64)
    own = right.reshape(2, ROWS // BLOCKS, BLOCKS).mean(axis=1)
    np.testing.assert_allclose(pseudo_values(scores(right)), own, atol=1e-9)


def test_an_undefined_block_is_left_out_for_all_and_unequal_blocks_are_not_used() -> None:
    right = np.random.default_rng(0).integers(0, 2, (2, ROWS)).astype(np.float64)
    first, second = scores(right)
    holed = Score(second.value, (None, *second.without_block[1:]))
    values = pseudo_values([first, holed])
    assert values.shape == (2, BLOCKS - 1)
    np.testing.assert_allclose(values.mean(axis=1), [first.value, second.value])
    assert pseudo_values([first, Score(0.5)]).shape == (2, 0)


@examples(0.2)
@given(st.lists(st.floats(0.1, 0.9), min_size=2, max_size=5))
def test_the_interval_holds_the_mean_and_is_the_same_every_time(values: list[float]) -> None:
    low, high = mean_interval(plain(values)) or (1.0, 0.0)
    assert low - 1e-9 <= float(np.mean(values)) <= high + 1e-9
    assert mean_interval(plain(values)) == (low, high)


@pytest.mark.parametrize("by_seed", [0.0, 0.05])
def test_the_interval_of_three_seeds_holds_the_truth_about_as_often_as_it_says(by_seed: float) -> None:
    rng, truth, held = np.random.default_rng(3), 0.8, 0
    for _ in range(200):
        chance = truth + rng.normal(0, by_seed, (3, 1)).clip(-0.19, 0.19)
        right = (rng.random((3, ROWS)) < chance).astype(np.float64)
        low, high = mean_interval(scores(right), draws=1000) or (1.0, 0.0)
        held += low <= truth <= high
    assert 0.9 <= held / 200 <= 1.0


def test_one_seed_has_an_interval_from_its_rows() -> None:
    right = np.random.default_rng(0).random((1, ROWS)) < 0.8
    low, high = mean_interval(scores(right.astype(np.float64))) or (0.0, 0.0)
    half = 1.96 * np.sqrt(0.8 * 0.2 / ROWS)
    assert high - low == pytest.approx(2 * half, rel=0.35)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.floats(0, 1), min_size=1))
def test_holm_is_between_bonferroni_and_nothing(p_values: dict[str, float]) -> None:
    held = holm(p_values)
    for name, p_value in p_values.items():
        assert held[name] <= (p_value <= 0.05)
        assert held[name] >= (p_value <= 0.05 / len(p_values))
    order = sorted(p_values, key=lambda name: p_values[name])
    assert [held[name] for name in order] == sorted(held.values(), reverse=True)


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == {"a": True, "b": False, "c": False}


def test_the_interval_of_cross_validation_is_the_jackknifes_widened_for_shared_training_rows() -> None:
    right = np.random.default_rng(0).random(500) < 0.8
    block = np.arange(500) % 50
    score = Score(float(right.mean()), tuple(float(right[block != number].mean()) for number in range(50)))
    interval = cross_validation_interval(score, folds=5)
    assert interval is not None
    low, high = interval
    by_block = [right[block == number].mean() for number in range(50)]  # of equal blocks
    error = np.std(by_block, ddof=1) / math.sqrt(50)
    widened = error * math.sqrt((1 / 5 + 1 / 4) / (1 / 5))  # Nadeau & Bengio 2003, with one test fold for four others
    assert (low + high) / 2 == pytest.approx(score.value)
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 49) * widened)
    assert cross_validation_interval(Score(0.8), folds=5) is None


def test_the_corrected_test_fires_about_as_often_as_it_says_where_folds_overlap_and_the_plain_one_too_often() -> None:
    """Two equal learners: the mean of the training rows, and the same of other halves of them, judged on held-out rows.
    Ten times two folds of the same 40 rows, as Nadeau & Bengio 2003 split them."""
    rng, fired, plain, draws = np.random.default_rng(0), 0, 0, 300
    for _ in range(draws):
        rows, differences = rng.normal(size=(40, 2)), []
        for _ in range(10):
            order = rng.permutation(40)
            for held_out, training in ((order[:20], order[20:]), (order[20:], order[:20])):
                means = rows[training].mean(axis=0)  # each learner sees a column of its own
                errors = np.square(rows[held_out] - means).mean(axis=0)
                differences.append(errors[0] - errors[1])
        fired += (corrected_resampled_test(differences, folds=2).p_value or 0.0) <= 0.05
        plain += stats.ttest_1samp(differences, 0.0).pvalue <= 0.05
    assert fired / draws <= 0.1
    assert plain / draws >= 0.2


def test_one_fold_is_not_tested_and_no_difference_is_certain() -> None:
    assert corrected_resampled_test([0.1], folds=2).p_value is None
    assert corrected_resampled_test([0.0, 0.0], folds=2) == (0.0, 0.0, 0.0, 1.0)
