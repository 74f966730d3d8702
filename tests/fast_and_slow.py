"""What `make test` leaves to `make test-slow`: most cases of a long table, and most examples of a property."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings


def slow_but(cases: Iterable[Any], *fast: Any) -> list[Any]:
    """The cases as parameters of a test, all of them slow but these."""
    cases = list(cases)
    assert all(case in cases for case in fast), "a fast case must be in the table"
    marks = [() if case in fast else pytest.mark.slow for case in cases]
    values = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*value, marks=mark) for value, mark in zip(values, marks, strict=True)]


def examples(share: float) -> settings:
    """So many times the examples that the profile has: 1 are 100 in `make test-slow`, 25 in `make test`."""
    return settings(max_examples=max(1, round(share * settings.default.max_examples)))
