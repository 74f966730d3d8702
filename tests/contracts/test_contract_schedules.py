"""What every schedule must do. A new schedule is tested by being in the table."""

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, ExponentialLR, LRScheduler, OneCycleLR

from tunery.errors import ConfigError
from tunery.optim.curves import CURVES, factor, warmup_steps
from tunery.optim.schedules import SCHEDULES, Schedule, make_schedule
from tunery.schema.config import schedule as schema
from tunery.schema.reading.fields import alternatives, default_domain, ends

TOTAL, WARMUP, EPOCH = 120, 20, 10
CREEPING = [0.5 + 0.01 * (epoch // 5) for epoch in range(TOTAL // EPOCH)]
"""An objective that gets a little better in every fifth epoch."""
every_schedule = pytest.mark.parametrize("kind", SCHEDULES, ids=lambda kind: kind().name)


def warmed_up(kind: type[Any], **keys: Any) -> Any:
    """The spec with a warm-up of 20 steps, where it has one."""
    return kind(**({"warmup": WARMUP} if issubclass(kind, schema.WarmedUp) else {}), **keys)


def optimizer(*rates: float) -> Optimizer:
    return SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates or (1.0,)])


def make(spec: Any, over: Optimizer, *, total: int = TOTAL, steps_per_epoch: int = EPOCH) -> Schedule:
    return make_schedule(spec, over, total=total, steps_per_epoch=steps_per_epoch, direction="maximize")


def walk(schedule: LRScheduler, steps: int, objective: Sequence[float] = ()) -> list[list[float]]:
    """Rates of the groups at the step where the schedule is and after each of `steps` more; epochs end every 10."""
    rates = [[group["lr"] for group in schedule.optimizer.param_groups]]
    for _ in range(steps):
        schedule.optimizer.step()
        schedule.step()
        epochs, rest = divmod(schedule.last_epoch, EPOCH)
        if isinstance(schedule, Schedule) and not rest and epochs <= len(objective):
            schedule.observe(objective[epochs - 1])
        rates.append([group["lr"] for group in schedule.optimizer.param_groups])
        assert schedule.get_last_lr() == rates[-1]
    return rates


def factors(spec: Any, *, total: int = TOTAL, steps_per_epoch: int = EPOCH) -> np.ndarray:
    """At the steps 0 to `total`, from the schedule itself."""
    return np.array(walk(make(spec, optimizer(), total=total, steps_per_epoch=steps_per_epoch), total))[:, 0]


def test_schema_and_tables_list_the_same_choices() -> None:
    assert set(alternatives(schema.Schedule)) == set(SCHEDULES)
    assert set(SCHEDULES) - set(CURVES) == {schema.ReducePlateau}


QUARTER = 0.5 + math.sqrt(0.125)
"""Half a cosine after a quarter of its length: (1 + cos 45°) / 2."""
POINTS: dict[type[Any], tuple[dict[str, Any], dict[int, float]]] = {
    schema.NoSchedule: ({}, {0: 1, 20: 1, 45: 1, 70: 1, 120: 1}),
    schema.Constant: ({}, {0: 1, 20: 1, 45: 1, 70: 1, 120: 1}),
    schema.ConstantWarmup: ({}, {0: 0, 10: 0.5, 20: 1, 45: 1, 70: 1, 120: 1}),
    schema.ReducePlateau: ({}, {0: 0, 10: 0.5, 20: 1, 45: 1, 70: 1, 120: 1}),
    schema.Linear: ({}, {0: 0, 10: 0.5, 20: 1, 45: 0.75, 70: 0.5, 95: 0.25, 120: 0}),
    schema.Cosine: ({}, {0: 0, 10: 0.5, 20: 1, 45: QUARTER, 70: 0.5, 95: 1 - QUARTER, 120: 0}),
    schema.CosineRestart: (
        {"num_cycles": 2},
        {0: 0, 10: 0.5, 20: 1, 45: 0.5, 69: (1 - math.cos(math.pi / 50)) / 2, 70: 1, 95: 0.5, 120: 0},
    ),
    schema.Polynomial: ({"power": 3}, {0: 0, 10: 0.5, 20: 1, 45: 27 / 64, 70: 1 / 8, 95: 1 / 64, 120: 0}),
    schema.Exponential: ({"gamma": 0.9}, {0: 0, 10: 0.5, 20: 1, 30: 0.9, 40: 0.81, 70: 0.59049, 120: 0.3486784401}),
    schema.OneCycle: (
        {"pct_start": 0.3, "div_factor": 10, "final_div_factor": 100},
        {0: 0.1, 7: 0.1 + 0.9 * math.sin(math.pi / 10) ** 2, 35: 1, 77: 0.5005, 119: 0.001, 120: 0.001},
    ),
}


@every_schedule
def test_start_end_of_warmup_middle_and_end(kind: type[Any]) -> None:
    keys, points = POINTS[kind]
    found = factors(warmed_up(kind, **keys))
    assert {step: found[step] for step in points} == pytest.approx(points, rel=1e-12, abs=1e-15)


def test_later_cycles_are_longer_by_t_mult() -> None:
    found = factors(schema.CosineRestart(warmup=WARMUP, num_cycles=3, T_mult=3), total=WARMUP + 13 * 7)
    assert [step - WARMUP for step in np.flatnonzero(found == 1.0)] == [0, 7, 28]
    assert found[WARMUP + 28 + 63 // 3] == pytest.approx(0.75) and found[-1] == 0.0


REFERENCES: dict[str, tuple[Any, Callable[[Optimizer], LRScheduler]]] = {
    "constant": (schema.Constant(), transformers.get_constant_schedule),
    "constant_warmup": (
        schema.ConstantWarmup(warmup=WARMUP),
        lambda o: transformers.get_constant_schedule_with_warmup(o, WARMUP),
    ),
    "linear": (
        schema.Linear(warmup=WARMUP),
        lambda o: transformers.get_linear_schedule_with_warmup(o, WARMUP, TOTAL),
    ),
    "cosine": (
        schema.Cosine(warmup=WARMUP),
        lambda o: transformers.get_cosine_schedule_with_warmup(o, WARMUP, TOTAL),
    ),
    "cosine_restart": (
        schema.CosineRestart(warmup=WARMUP, num_cycles=4),
        lambda o: transformers.get_cosine_with_hard_restarts_schedule_with_warmup(o, WARMUP, TOTAL, num_cycles=4),
    ),
    "polynomial": (
        schema.Polynomial(warmup=WARMUP, power=1.7),
        lambda o: transformers.get_polynomial_decay_schedule_with_warmup(o, WARMUP, TOTAL, lr_end=0.0, power=1.7),
    ),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_the_curve_is_that_of_transformers(name: str) -> None:
    spec, reference = REFERENCES[name]
    over = SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    assert factors(spec) == pytest.approx(np.array(walk(reference(over), TOTAL))[:, 0], abs=1e-12)


def test_exponential_meets_that_of_torch_at_the_ends_of_epochs() -> None:
    found = factors(schema.Exponential(warmup=0, gamma=0.93))
    expected = np.array(walk(ExponentialLR(optimizer(), gamma=0.93), TOTAL // EPOCH))[:, 0]
    assert found[::EPOCH] == pytest.approx(expected, rel=1e-12)
    assert np.all(np.diff(found) < 0)


@pytest.mark.parametrize(("first", "growth"), [(16, 2), (5, 2), (9, 3)])
def test_restarts_are_those_of_torch(first: int, growth: int) -> None:
    total = first * (1 + growth + growth**2)
    expected = np.array(walk(CosineAnnealingWarmRestarts(optimizer(), first, T_mult=growth), total))[:, 0]
    found = factors(schema.CosineRestart(warmup=0, num_cycles=3, T_mult=growth), total=total)
    assert found[:-1] == pytest.approx(expected[:-1], abs=1e-12)
    assert (found[-1], expected[-1]) == (0.0, 1.0)  # torch begins a fourth


@pytest.mark.parametrize(("total", "rise"), [(7, 0.25), (7, 0.9), (97, 0.1), (97, 0.3), (120, 0.3), (120, 0.99)])
@pytest.mark.parametrize(("div", "final"), [(10.0, 100.0), (25.0, 1e4), (1.0, 1.0)])
def test_one_cycle_is_that_of_torch(total: int, rise: float, div: float, final: float) -> None:
    reference = OneCycleLR(
        optimizer(),
        max_lr=1.0,
        total_steps=total,
        pct_start=rise,
        div_factor=div,
        final_div_factor=final,
        cycle_momentum=False,
    )
    found = factors(schema.OneCycle(pct_start=rise, div_factor=div, final_div_factor=final), total=total)
    assert found[:-1] == pytest.approx(np.array(walk(reference, total - 1))[:, 0], rel=1e-9, abs=1e-12)


def test_one_cycle_begins_at_the_peak_where_the_rise_has_no_step() -> None:
    """torch lets the peak fall before the first step, and divides by zero where it falls on it."""
    assert factors(schema.OneCycle(pct_start=0.1), total=5)[0] == 1.0
    assert factors(schema.OneCycle(), total=1)[0] == 1.0


WARMUPS = st.integers(1, 50) | st.floats(0, 0.99)
ANY: dict[type[Any], st.SearchStrategy[Any]] = {
    schema.NoSchedule: st.builds(schema.NoSchedule),
    schema.Constant: st.builds(schema.Constant),
    schema.ConstantWarmup: st.builds(schema.ConstantWarmup, warmup=WARMUPS),
    schema.Linear: st.builds(schema.Linear, warmup=WARMUPS),
    schema.Cosine: st.builds(schema.Cosine, warmup=WARMUPS),
    schema.CosineRestart: st.builds(
        schema.CosineRestart, warmup=WARMUPS, num_cycles=st.integers(1, 6), T_mult=st.floats(1, 4)
    ),
    schema.Polynomial: st.builds(schema.Polynomial, warmup=WARMUPS, power=st.floats(0.1, 5)),
    schema.Exponential: st.builds(schema.Exponential, warmup=WARMUPS, gamma=st.floats(0.5, 1)),
    schema.OneCycle: st.builds(
        schema.OneCycle,
        pct_start=st.floats(0.01, 0.99),
        div_factor=st.floats(1, 100),
        final_div_factor=st.floats(1, 1e5),
    ),
}
FALLING = {schema.Linear, schema.Cosine, schema.Polynomial, schema.Exponential}


def turns(values: Sequence[float]) -> int:
    """How often a curve that falls begins to rise."""
    signs = [sign for sign in np.sign(np.diff(values)) if sign]
    return sum(before < 0 < after for before, after in zip(signs, signs[1:], strict=False))


@pytest.mark.parametrize("kind", CURVES, ids=lambda kind: kind().name)
@given(data=st.data(), total=st.integers(51, 300), steps_per_epoch=st.integers(1, 40))
def test_curves_rise_to_one_and_stay_within_it(
    kind: type[Any], data: st.DataObject, total: int, steps_per_epoch: int
) -> None:
    spec = data.draw(ANY[kind])
    warmup = warmup_steps(spec, total=total)
    found = [
        factor(spec, step, warmup=warmup, total=total, steps_per_epoch=steps_per_epoch) for step in range(total + 1)
    ]
    assert all(0.0 <= value <= 1.0 for value in found)
    assert np.all(np.diff(found[: warmup + 1]) > 0)
    if kind is not schema.OneCycle:
        assert found[warmup] == 1.0
    if kind in FALLING:
        assert np.all(np.diff(found[warmup:]) <= 0)
    assert turns(found) <= (spec.num_cycles - 1 if isinstance(spec, schema.CosineRestart) else 0)


@every_schedule
def test_groups_keep_their_proportions(kind: type[Any]) -> None:
    rates = np.array(walk(make(warmed_up(kind), optimizer(2.0, 0.5)), TOTAL, CREEPING))
    assert np.array_equal(rates[:, 0], 4 * rates[:, 1])
    assert max(rates[:, 0]) == pytest.approx(2.0, rel=1e-3)


@every_schedule
@pytest.mark.parametrize("torn", [1, 13, 70, 119])
def test_a_state_is_plain_numbers_and_goes_on_bit_for_bit(kind: type[Any], torn: int) -> None:
    spec, whole = warmed_up(kind), optimizer(1e-3, 1e-5)
    expected = walk(make(spec, whole), TOTAL, CREEPING)

    first = optimizer(1e-3, 1e-5)
    schedule = make(spec, first)
    rates = walk(schedule, torn, CREEPING)[:-1]
    assert {type(value) for value in schedule.state_dict().values()} <= {int, float}
    stored = io.BytesIO()
    torch.save([schedule.state_dict(), first.state_dict()], stored)
    stored.seek(0)
    state, optimizer_state = torch.load(stored, weights_only=True)

    second = optimizer(1e-3, 1e-5)
    resumed = make(spec, second)
    second.load_state_dict(optimizer_state)
    resumed.load_state_dict(state)
    assert resumed.get_last_lr() == schedule.get_last_lr() and resumed.state_dict() == schedule.state_dict()
    assert rates + walk(resumed, TOTAL - torn, CREEPING) == expected


FIELDS = [(kind, key) for kind in SCHEDULES for key in kind.model_fields if key != "name"]
OTHER = {"threshold": 0.5}
"""Values unlike the default of those keys that carry no range."""


@pytest.mark.parametrize(("kind", "key"), FIELDS, ids=lambda value: value if isinstance(value, str) else value().name)
def test_every_key_changes_the_curve(kind: type[Any], key: str) -> None:
    field = kind.model_fields[key]
    domain = default_domain(field)
    other = next(value for value in (ends(domain) if domain else (OTHER[key],)) if value != field.default)
    rates = [walk(make(spec, optimizer()), TOTAL, CREEPING) for spec in (kind(), kind(**{key: other}))]
    assert rates[0] != rates[1]


WARMED = [kind for kind in SCHEDULES if issubclass(kind, schema.WarmedUp)]


@pytest.mark.parametrize("kind", WARMED, ids=lambda kind: kind().name)
def test_a_warmup_is_a_share_or_a_number_of_steps_or_none(kind: type[Any]) -> None:
    share, steps, none = (factors(kind(warmup=warmup), total=100) for warmup in (0.07, 7, 0.0))
    assert np.array_equal(share, steps) and list(steps[:8]) == [step / 7 for step in range(8)]
    assert none[0] == 1.0


@pytest.mark.parametrize("kind", WARMED, ids=lambda kind: kind().name)
def test_a_warmup_as_long_as_the_training_is_refused(kind: type[Any]) -> None:
    message = "schedule.warmup: the warm-up must be shorter than the training, but got 100 of 100 steps; lower it"
    with pytest.raises(ConfigError, match=message):
        make(kind(warmup=100), optimizer(), total=100)
    assert factors(kind(warmup=99), total=100)[99] == 1.0
