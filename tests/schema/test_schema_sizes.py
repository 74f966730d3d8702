"""Bytes in words and back."""

import pytest
from pydantic import ValidationError

from tunery.schema.config.checkpoint import Checkpoint
from tunery.schema.sizes import size_text


@pytest.mark.parametrize(
    ("written", "count"),
    [("20GB", 20_000_000_000), ("1.5 tb", 1_500_000_000_000), ("300", 300), ("7 B", 7), (5, 5), ("2.5kB", 2_500)],
)
def test_a_size_is_read_with_or_without_its_unit(written: object, count: int) -> None:
    assert Checkpoint.model_validate({"max_disk": written}).max_disk == count


@pytest.mark.parametrize("written", ["9" * 400 + "GB", "2000000TB", 10**19, "0", "-1GB", "GB"])
def test_what_no_disk_holds_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        Checkpoint.model_validate({"max_disk": written})


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1_234_567, "1.23 MB"), (2e15, "2,000.0 TB")])
def test_bytes_are_told_with_three_digits(count: float, text: str) -> None:
    assert size_text(count) == text
