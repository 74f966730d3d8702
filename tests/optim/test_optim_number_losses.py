"""Losses of numbers and levels against their formulas, one row at a time."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tunery.optim.number_losses import NUMBER_LOSSES, LevelLoss, make_number_loss
from tunery.schema.config.loss import Huber, Mse, NumberLoss, SmoothL1
from tunery.schema.reading.fields import alternatives

FORMULAS: dict[Any, Callable[[float], float]] = {
    Mse(): lambda d: d * d,
    Huber(): lambda d: d * d / 2 if d < 1 else d - 0.5,
    Huber(delta=0.3): lambda d: d * d / 2 if d < 0.3 else 0.3 * (d - 0.15),
    SmoothL1(): lambda d: d * d / 2 if d < 1 else d - 0.5,
    SmoothL1(beta=0.2): lambda d: d * d / 0.4 if d < 0.2 else d - 0.1,
}


def test_schema_and_table_list_the_same_losses() -> None:
    assert set(alternatives(NumberLoss)) == set(NUMBER_LOSSES) == {type(spec) for spec in FORMULAS}


@pytest.mark.parametrize("spec", FORMULAS, ids=repr)
def test_it_is_the_formula(spec: Any) -> None:
    draw = torch.Generator().manual_seed(0)
    answers, targets = torch.randn(40, 1, generator=draw).double(), torch.randn(40, generator=draw).double()
    found = make_number_loss(spec)(answers, targets)
    expected = [FORMULAS[spec](abs(a - t)) for a, t in zip(answers[:, 0].tolist(), targets.tolist(), strict=True)]
    assert found.tolist() == pytest.approx(expected)
    rough = make_number_loss(spec)(answers.bfloat16(), targets.float())
    assert rough.dtype == torch.float32 and torch.allclose(rough.double(), found, atol=0.1)


def test_levels_are_asked_whether_a_row_is_above_each_but_the_highest() -> None:
    draw = torch.Generator().manual_seed(1)
    logits, levels = 3 * torch.randn(30, 4, generator=draw).double(), torch.arange(30) % 5
    expected = []
    for row, level in zip(logits.tolist(), levels.tolist(), strict=True):
        chances = [1 / (1 + math.exp(-z)) for z in row]
        expected.append(-sum(math.log(p if level > k else 1 - p) for k, p in enumerate(chances)) / 4)
    assert LevelLoss()(logits, levels).tolist() == pytest.approx(expected)
    sure = torch.tensor([[1e4, -1e4]])
    assert (
        torch.isfinite(LevelLoss()(sure, torch.tensor([0]))).all() and float(LevelLoss()(sure, torch.tensor([1]))) == 0
    )
