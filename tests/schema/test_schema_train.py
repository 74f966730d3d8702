"""`train.epochs: auto`: as many epochs as the rows need, and a patience that can end them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.errors import ConfigError
from tunery.schema.config.train import AUTO_EPOCHS, AUTO_PATIENCE, AUTO_STEPS, EarlyStopping, Train
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


@pytest.mark.parametrize(
    ("rows", "train", "patience"),
    [
        (200, Train(epochs=20), 20),
        (200, Train(epochs=20, early_stopping=EarlyStopping(patience=4)), 4),
        (200, Train(early_stopping=EarlyStopping(patience=20)), 20),  # as configs of earlier builds record it
        (3_000, Train(), 3),
        (200, Train(early_stopping=None), None),
    ],
)
def test_patience_is_20_for_a_number_of_epochs_and_what_is_written_always_counts(
    rows: int, train: Train, patience: int | None
) -> None:
    assert train.patience_for(rows) == patience


@given(rows=st.integers(1, 10**7), batch_size=st.integers(1, 1000))
def test_the_patience_of_auto_is_a_share_of_its_epochs(rows: int, batch_size: int) -> None:
    train, (least, share) = Train(batch_size=batch_size), AUTO_PATIENCE
    epochs, patience = train.epochs_for(rows), train.patience_for(rows)
    assert patience is not None and least <= patience < AUTO_EPOCHS[1]
    assert patience == least or patience - 1 < share * epochs <= patience


def test_another_word_is_refused_and_the_number_of_epochs_is_still_bounded() -> None:
    for value, rule in (("automatic", "auto"), (0, ">= 1"), (101, "<= 100")):
        with pytest.raises(ConfigError, match=rf"train\.epochs.*{rule}"):
            validate({"task": "classification", "data": {"train": "a.csv"}, "train": {"epochs": value}})
