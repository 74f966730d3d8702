"""The number of a cell, whatever the format."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.data.reading.cells import BadCell, Unlabelled
from tunery.data.reading.numbers import level_name, number_of, one_number
from tunery.schema.config.data import Data

READ = one_number(Data(train="", label="stars"), ordinal=False).read


@pytest.mark.parametrize(
    ("cell", "number"),
    [(3, 3.0), ("3", 3.0), (" -2.50 ", -2.5), ("+.5", 0.5), ("1e-3", 0.001), ("2.", 2.0), (1e-7, 1e-7), ("-0", 0.0)],
)
def test_numbers_are_read(cell: Any, number: float) -> None:
    assert number_of(cell) == number and str(number_of(cell)) == str(number)


@given(st.floats(-1e100, 1e100))
def test_every_format_gives_the_same_number(number: float) -> None:
    assert number_of(number) == number_of(repr(number)) == number


@pytest.mark.parametrize(
    "cell",
    [
        "good",
        "inf",
        "nan",
        "NaN",
        float("inf"),
        "1_000",
        "3 stars",
        "1e",
        "0x1",
        True,
        [1.0],
        1e200,
        "1e999",
        10**400,
        "٣",
    ],
)
def test_what_is_no_number_is_refused(cell: Any) -> None:
    with pytest.raises(BadCell, match=r"^column 'stars' must hold (a|one) ") as caught:
        READ({"stars": cell})
    assert not isinstance(caught.value, Unlabelled) and len(str(caught.value)) < 200


def test_a_comma_is_no_decimal_point() -> None:
    with pytest.raises(BadCell, match=r"must hold a number, with a decimal point, but got '3,5'"):
        READ({"stars": "3,5"})


@pytest.mark.parametrize("cell", [None, "", "  ", float("nan")])
def test_an_empty_cell_has_no_number(cell: Any) -> None:
    with pytest.raises(Unlabelled, match="'stars' is empty; every row needs one number"):
        READ({"stars": cell})


def test_a_level_has_one_name_however_it_is_written() -> None:
    read = one_number(Data(train="", label="stars"), ordinal=True).read
    assert {read({"stars": cell}).labels for cell in (4, 4.0, "4", "4.0", "4.")} == {("4",)}
    assert read({"stars": "3.5"}).labels == ("3.5",) and level_name(-1.0) == "-1"
    assert READ({"stars": "4"}).labels == ()
