"""What is found in rows with numbers and with levels."""

import numpy as np
import pytest

from tunery.data.checks.check import inspect
from tunery.data.checks.number_checks import LEVEL_CHECKS, NUMBER_CHECKS, QUICK_NUMBER_CHECKS
from tunery.data.examples import Example, Split, Splits
from tunery.data.reading.numbers import level_name
from tunery.data.splitting import by_number, number_bins, split_off
from tunery.schema.results.finding import Finding

DRAW = np.random.default_rng(0)


def splits(train: list[float], validation: list[float], test: list[float], *, levels: bool = False) -> Splits:
    parts = []
    for name, numbers in (("train", train), ("validation", validation), ("test", test)):
        rows = [
            Example(f"{name} text {n} says {n % 7}", labels=(level_name(x),) if levels else (), number=x)
            for n, x in enumerate(numbers)
        ]
        parts.append(Split(name, tuple(rows), "a file", "digest"))
    return Splits(*parts)


def found(given: Splits, *, levels: bool = False) -> dict[str, Finding]:
    return {finding.code: finding for finding in inspect(given, LEVEL_CHECKS if levels else NUMBER_CHECKS)}


def normal(rows: int) -> list[float]:
    return DRAW.normal(size=rows).tolist()


def test_sound_numbers_are_described_and_nothing_else() -> None:
    told = found(splits(normal(2000), normal(60), normal(60)))
    assert {code for code, finding in told.items() if finding.level != "info"} == set()
    assert "mean squared error of" in told["numbers"].message


@pytest.mark.parametrize("checks", [NUMBER_CHECKS, LEVEL_CHECKS, QUICK_NUMBER_CHECKS])
def test_one_number_for_all_rows_is_fatal(checks: tuple) -> None:  # type: ignore[type-arg]
    given = splits([2.5] * 40, normal(40), [1.0] * 40)
    told = [f for f in inspect(given, checks) if f.code == "constant_target"]
    assert [(f.level, f.split) for f in told] == [("fatal", "train"), ("fatal", "test")]
    assert "every row of train has 2.5: there is nothing to learn" in told[0].message


def test_numbers_far_from_all_others_are_named() -> None:
    told = found(splits([*normal(300), 900.0, -45.0], normal(40), normal(40)))["outliers"]
    assert told.level == "warning" and told.count == 2 and "900, -45" in told.message


def test_numbers_that_train_has_not_are_named() -> None:
    train = [float(n % 11) for n in range(200)]
    near = found(splits(train, train[:40], [*train[:40], 10.5]))["outside_range"]
    far = found(splits(train, train[:40], [*train[:40], 10.5, -7.0]))["outside_range"]
    assert (near.level, near.count, near.split) == ("info", 1, "test")
    assert (far.level, far.count) == ("warning", 2) and "0 to 10, up to -7 and 10.5" in far.message


def test_few_numbers_may_be_levels_and_many_are_none() -> None:
    stars = [float(1 + n % 5) for n in range(100)]
    assert "task.ordinal=true" in found(splits(stars, stars, stars))["few_numbers"].message
    assert "few_numbers" not in found(splits(normal(100), normal(50), normal(50)))
    told = found(splits(stars, stars, stars, levels=True), levels=True)
    assert "balance" in told and "few_numbers" not in told
    many = [float(n) for n in range(150)]
    assert found(splits(many, many, many, levels=True), levels=True)["too_many_levels"].level == "fatal"


@pytest.mark.parametrize("rows", [12, 40, 100, 1000])
def test_splits_have_their_share_of_small_and_large_numbers(rows: int) -> None:
    numbers = np.sort(DRAW.lognormal(size=rows))
    examples = [Example(f"text {n}", number=float(x)) for n, x in enumerate(numbers)]
    parts = split_off(examples, {"validation": 0.1, "test": 0.1}, strata=by_number, seed=1)
    assert sorted(row for part in parts.values() for row in part) == list(range(rows))
    assert len(parts["validation"]) == len(parts["test"]) == max(1, round(rows / 10))
    bins = number_bins(numbers)
    assert (np.diff(bins) >= 0).all() and np.bincount(bins).min() >= min(10, rows)
    if rows >= 100:
        assert set(bins[parts["validation"]]) == set(bins[parts["test"]]) == set(range(10))


def test_equal_numbers_are_in_one_bin() -> None:
    ratings = np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], [5, 5, 20, 70, 200])
    bins = number_bins(ratings)
    assert all(len(set(bins[ratings == value])) == 1 for value in np.unique(ratings))
    assert len(set(bins)) > 1 and set(number_bins(np.full(50, 3.0))) == {0}


def test_equal_texts_with_other_numbers_cannot_all_be_right() -> None:
    rows = [Example(f"text {n // 2}", number=float(n // 2 % 10 + n % 2)) for n in range(200)]
    parts = [Split(name, tuple(rows[begin::3]), "a file", "digest") for begin, name in ((1, "validation"), (2, "test"))]
    told = found(Splits(Split("train", tuple(rows), "a file", "digest"), *parts))["conflicting_numbers"]
    numbers = np.array([row.number for row in rows])
    between = numbers.reshape(-1, 2).mean(axis=1).var()  # of equal texts; what is left is within them
    assert (told.split, told.count) == ("train", 200)
    assert f"{100 * (1 - between / numbers.var()):.1f} % of the variance" in told.message
    assert told.level == ("warning" if 1 - between / numbers.var() > 0.05 else "info")
    same = [Example(f"text {n // 2}", number=float(n // 2 % 10)) for n in range(200)]
    whole = Split("train", tuple(same), "a file", "digest")
    assert "conflicting_numbers" not in found(Splits(whole, *parts))
