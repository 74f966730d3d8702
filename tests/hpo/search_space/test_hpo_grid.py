"""Every legal combination, once; and how many there are."""

from decimal import Decimal
from itertools import islice
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tunery.hpo.samplers.proposal import identity
from tunery.hpo.search_space.distributions import Space, Steps
from tunery.hpo.search_space.grid import Combinations, grid, size
from tunery.schema.reading.document import Document
from tunery.schema.space.default import with_default_domains
from tunery.schema.space.sampled import with_domains
from tunery.schema.spec import Range


def space_of(**sections: Any) -> Document:
    return with_domains({"task": {"kind": "classification"}, "data": {"train": "rows.csv"}, **sections})


SPACE = space_of(
    peft={"method": ["lora", "none", "pfeiffer"], "r": [4, 8], "pfeiffer": {"dropout": [0.1, 0.2, 0.3]}},
    train={"epochs": {"low": 1, "high": 4}},
)


def test_every_combination_comes_once_and_branches_have_only_what_is_theirs() -> None:
    found = list(grid(SPACE))
    lora = [params for params in found if params["peft.method"] == "lora"]
    none = [params for params in found if params["peft.method"] == "none"]
    pfeiffer = [params for params in found if params["peft.method"] == "pfeiffer"]
    assert len({identity(params) for params in found}) == len(found) == size(SPACE) == 4 * (2 + 1 + 3)
    assert {(params["peft.r"], params["train.epochs"]) for params in lora} == {
        (r, e) for r in (4, 8) for e in range(1, 5)
    }
    assert all(set(params) == {"peft.method", "train.epochs"} for params in none)
    assert {params["peft.pfeiffer.dropout"] for params in pfeiffer} == {0.1, 0.2, 0.3}


def test_the_first_one_has_the_first_value_of_everything() -> None:
    assert next(grid(SPACE)) == {"peft.method": "lora", "peft.r": 4, "train.epochs": 1}


def test_what_the_rules_refuse_is_missing_and_what_does_nothing_is_left_out() -> None:
    document = space_of(
        peft={"method": ["lora", "none"]},
        freeze=["none", "freeze_encoder"],
        regularization={"encoder_dropout": [0.1, 0.2]},
    )
    legal = [
        {"peft.method": "lora", "freeze.strategy": "none"},
        {"peft.method": "none", "freeze.strategy": "freeze_encoder"},
        {"peft.method": "none", "freeze.strategy": "none", "regularization.encoder_dropout": 0.1},
        {"peft.method": "none", "freeze.strategy": "none", "regularization.encoder_dropout": 0.2},
    ]
    assert sorted(map(identity, grid(document))) == sorted(map(identity, legal))
    assert size(document) == 4


def test_ranges_become_points() -> None:
    document = space_of(
        peft={"method": "lora", "alpha": {"low": 1, "high": 16, "log": True}, "dropout": {"low": 0.0, "high": 0.3}},
        optim={"weight_decay": {"low": 0.0, "high": 0.35, "step": 0.1}},
        train={"epochs": {"low": 1, "high": 100, "log": True}, "batch_size": {"low": 8, "high": 40, "step": 16}},
    )
    found = list(grid(document, points=3))
    values = {path: sorted({params[path] for params in found}) for path in found[0]}
    assert values == {
        "peft.alpha": [1, 4, 16],
        "peft.dropout": [0.0, 0.15, 0.3],
        "optim.weight_decay": [0.0, 0.1, 0.2, 0.3],
        "train.epochs": [1, 10, 100],
        "train.batch_size": [8, 24, 40],
    }
    assert size(document) is None


def test_whole_numbers_are_rounded_and_never_doubled() -> None:
    document = space_of(train={"epochs": {"low": 1, "high": 3}})
    assert sorted(params["train.epochs"] for params in grid(document, points=5)) == [1, 2, 3]


def test_a_huge_space_is_counted_and_begun_at_once() -> None:
    document = with_default_domains({"task": {"kind": "classification"}, "data": {"train": "rows.csv"}})
    combinations = Combinations(Space(document), points=3)
    assert combinations.total > 10**12
    assert size(document) is None
    first = list(islice(grid(document, points=3), 50))
    assert len({identity(params) for params in first}) == 50
    assert len({params["peft.method"] for params in first}) > 3
    drawn = list(islice(combinations.shuffled(0), 50))
    assert len(set(drawn)) == 50 and drawn != list(islice(combinations.shuffled(1), 50))


def test_a_range_of_a_billion_steps_is_counted_and_begun_at_once() -> None:
    rate = {"low": 1e-9, "high": 1, "step": 1e-9}
    document = space_of(optim={"lr": rate, "weight_decay": {"low": 0, "high": 1, "step": 1e-15}})
    assert size(document) == 10**9 * (10**15 + 1)
    assert next(grid(document)) == {"optim.lr": 1e-9, "optim.weight_decay": 0.0}
    assert len(list(islice(grid(document), 50))) == 50


@given(st.decimals(-100, 100, places=2), st.integers(0, 300), st.decimals("0.01", 3, places=2), st.floats(-500, 500))
def test_steps_are_those_of_decimal_arithmetic(low: Decimal, count: int, step: Decimal, value: float) -> None:
    high = low + count * step
    steps = Steps(Range(float(low), float(high), step=float(step)))
    listed = [float(low + number * step) for number in range(count + 1)]
    assert list(steps) == listed and steps[-1] == listed[-1] and steps[1:3] == listed[1:3]
    assert abs(steps.nearest(value) - value) == min(abs(known - value) for known in listed)


def test_a_large_countable_space_is_not_looked_at_one_by_one() -> None:
    document = space_of(
        train={"epochs": {"low": 1, "high": 100}, "eval_batch_size": {"low": 1, "high": 1000}, "batch_size": [8, 16]}
    )
    assert size(document) == 200_000


@given(st.integers(1, 400), st.integers(0, 10**6))
def test_the_spread_visits_every_number_once(total: int, start: int) -> None:
    document = space_of(train={"eval_batch_size": {"low": 1, "high": total}})
    combinations = Combinations(Space(document), points=None)
    assert sorted(combinations.spread(start % total)) == list(range(total))
    assert sorted(combinations.shuffled(start)) == list(range(total))
