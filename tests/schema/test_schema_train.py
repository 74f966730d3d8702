"""`train.epochs: auto`: as many epochs as the rows need."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.errors import ConfigError
from tunery.schema.config.train import AUTO_EPOCHS, AUTO_STEPS, Train
from tunery.schema.reading.document import validate


@pytest.mark.parametrize(
    ("rows", "train", "epochs"),
    [
        (200, Train(), 20),  # 13 steps an epoch: 24 epochs would make 300
        (400, Train(), 12),
        (3_000, Train(), 3),
        (200, Train(batch_size=4), 6),
        (1_000_000, Train(), 1),
        (200_000, Train(), 3),
        (300_000, Train(), 2),
        (200, Train(max_steps=100), 8),
        (200, Train(epochs=5), 5),
        (0, Train(), 20),
    ],
)
def test_small_data_gets_steps_and_large_data_few_epochs(rows: int, train: Train, epochs: int) -> None:
    assert train.epochs_for(rows) == epochs


@given(rows=st.integers(1, 10**7), batch_size=st.integers(1, 1000))
def test_the_limits_hold_for_any_data(rows: int, batch_size: int) -> None:
    epochs, steps = Train(batch_size=batch_size).epochs_for(rows), math.ceil(rows / batch_size)
    assert 1 <= epochs <= AUTO_EPOCHS[1]
    assert epochs in (1, AUTO_EPOCHS[1]) or epochs * steps >= AUTO_STEPS[0]
    assert epochs == 1 or (epochs - 1) * steps < AUTO_STEPS[1]


def test_another_word_is_refused_and_the_number_of_epochs_is_still_bounded() -> None:
    for value, rule in (("automatic", "auto"), (0, ">= 1"), (101, "<= 100")):
        with pytest.raises(ConfigError, match=rf"train\.epochs.*{rule}"):
            validate({"task": "classification", "data": {"train": "a.csv"}, "train": {"epochs": value}})
