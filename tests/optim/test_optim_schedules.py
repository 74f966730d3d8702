"""Schedules beside the contract: the plateau rule, rates that the optimizer sets, odd warm-ups, the drawings."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from tunery.optim.curves import factor, warmup_steps
from tunery.optim.plots import COLUMNS, ROWS, draw, schedule_plots
from tunery.optim.schedules import Plateau, Schedule, make_schedule
from tunery.schema.config import schedule as schema
from tunery.schema.reading.fields import alternatives
from tunery.schema.results.direction import Direction


def sgd(lr: float = 1.0) -> Optimizer:
    return SGD([nn.Parameter(torch.zeros(1))], lr=lr)


def make(spec: schema.Schedule, over: Optimizer, *, total: int = 100, direction: Direction = "maximize") -> Schedule:
    return make_schedule(spec, over, total=total, steps_per_epoch=10, direction=direction)


VALUES = st.sampled_from([0.0, 0.25, 0.5, 0.75, math.nan]) | st.floats(-1, 1, width=32)


@given(
    values=st.lists(VALUES, max_size=60),
    patience=st.integers(0, 4),
    threshold=st.sampled_from([0.0, 1e-4, 0.25]),
    reduction=st.sampled_from([0.5, 0.75]),
    direction=st.sampled_from(["maximize", "minimize"]),
)
def test_a_plateau_is_that_of_torch(
    values: list[float], patience: int, threshold: float, reduction: float, direction: Direction
) -> None:
    ours, theirs = sgd(), sgd()
    spec = schema.ReducePlateau(warmup=0, patience=patience, threshold=threshold, factor=reduction)
    schedule = make(spec, ours, direction=direction)
    reference = ReduceLROnPlateau(
        theirs,
        mode="max" if direction == "maximize" else "min",
        patience=patience,
        threshold=threshold,
        threshold_mode="abs",
        factor=reduction,
        eps=0,
    )
    for value in values:
        schedule.observe(value)
        reference.step(value)
        assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)


def test_a_metric_that_is_undefined_is_no_improvement() -> None:
    over = sgd()
    schedule = make(schema.ReducePlateau(warmup=0, patience=1), over)
    rates = []
    for value in (None, 0.5, None, math.nan, 0.6, None, 0.6):
        schedule.observe(value)
        rates += schedule.get_last_lr()
    assert rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]


def test_a_lower_rate_holds_at_once_and_over_the_steps_after() -> None:
    over = sgd(lr=0.1)
    schedule = make(schema.ReducePlateau(warmup=4, patience=0, factor=0.5), over)
    schedule.observe(0.9)
    for expected in (0.025, 0.05):
        over.step()
        schedule.step()
        assert schedule.get_last_lr() == [expected]
    schedule.observe(0.9)
    assert schedule.get_last_lr() == [over.param_groups[0]["lr"]] == [0.025]
    for expected in (0.0375, 0.05, 0.05):
        over.step()
        schedule.step()
        assert schedule.get_last_lr() == pytest.approx([expected])


def test_the_trainer_steps_a_plateau_as_any_other_schedule() -> None:
    """transformers leaves out the step of what it takes for torch's own class."""
    assert isinstance(make(schema.ReducePlateau(), sgd()), Plateau)
    assert not issubclass(Plateau, ReduceLROnPlateau)


def test_none_leaves_the_rate_to_the_optimizer_and_reports_it() -> None:
    over = sgd(lr=0.3)
    schedule = make(schema.NoSchedule(), over)
    for rate in (0.2, 0.7):
        over.step()
        over.param_groups[0]["lr"] = rate
        assert schedule.get_last_lr() == [rate]
        schedule.step()
        assert over.param_groups[0]["lr"] == rate and schedule.get_last_lr() == [rate]


@pytest.mark.parametrize(
    ("warmup", "total", "expected"),
    [
        (0.06, 100, 6),
        (0.07, 100, 7),
        (0.061, 100, 7),
        (0.0, 1, 0),
        (0.06, 1, 0),
        (0.99, 10, 9),
        (1, 2, 1),
        (50, 51, 50),
    ],
)
def test_a_share_is_rounded_up_and_leaves_a_step_at_the_peak(warmup: float, total: int, expected: int) -> None:
    spec = schema.Linear(warmup=warmup)
    assert warmup_steps(spec, total=total) == expected
    assert factor(spec, expected, warmup=expected, total=total, steps_per_epoch=1) == 1.0


@pytest.mark.parametrize(
    "spec", [schema.NoSchedule(), schema.Constant(), schema.OneCycle()], ids=lambda spec: spec.name
)
def test_a_schedule_without_warmup_has_no_steps_of_it(spec: schema.Schedule) -> None:
    assert warmup_steps(spec, total=1000) == 0


def test_drawings_are_braille_of_one_size_and_tell_the_schedules_apart() -> None:
    plots = schedule_plots()
    assert [name for _, name in plots] == [kind().name for kind in alternatives(schema.Schedule)]
    for plot in plots.values():
        lines = plot.splitlines()
        assert [line[:5] for line in lines[:ROWS]] == ["peak ", *["     "] * (ROWS - 2), "   0 "]
        assert all(
            len(line) == 5 + COLUMNS and set(line[5:]) <= set(map(chr, range(0x2800, 0x2900))) for line in lines[:ROWS]
        )
    pictures = {name: tuple(plot.splitlines()[:ROWS]) for (_, name), plot in plots.items()}
    assert pictures.pop("none") == pictures["constant"]
    assert len(set(pictures.values())) == len(pictures)
    assert schedule_plots() == plots


@given(st.lists(st.floats(0, 1), min_size=2, max_size=2 * COLUMNS))
def test_every_value_is_a_point_and_points_are_joined(values: list[float]) -> None:
    lines = draw(values)
    dots = [
        {4 * row + y for row in range(ROWS) for y in range(4) if ord(lines[row][x // 2]) & (1 << BITS[y][x % 2])}
        for x in range(len(values))
    ]
    top = 4 * ROWS - 1
    assert all(round((1 - value) * top) in column for value, column in zip(values, dots, strict=True))
    assert all(sorted(column) == list(range(min(column), max(column) + 1)) for column in dots)
    assert all(min(a) <= max(b) + 1 and min(b) <= max(a) + 1 for a, b in pairwise(dots))


BITS = ((0, 3), (1, 4), (2, 5), (6, 7))
"""Number of the bit for each row and side of a braille character, as Unicode numbers its dots from 1 to 8."""
