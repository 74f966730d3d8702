"""The first trials: known good settings, within the space."""

from typing import Any

import pytest

from tunery.hpo.samplers.proposal import proposal_of
from tunery.hpo.search_space.distributions import Space
from tunery.hpo.search_space.initial_points import FIRST, portfolio
from tunery.schema.reading.document import Document
from tunery.schema.space.default import with_default_domains
from tunery.schema.space.sampled import with_domains
from tunery.schema.spec import Range

RATE = {"low": 1e-5, "high": 1e-2, "log": True}


def space_of(**sections: Any) -> Document:
    return with_domains({"task": {"kind": "classification"}, "data": {"train": "rows.csv"}, **sections})


def test_each_method_begins_with_its_own_defaults() -> None:
    document = space_of(peft={"method": ["none", "ia3", "lora", "pfeiffer", "bitfit"], "r": [4, 8]}, optim={"lr": RATE})
    found = portfolio(document)
    assert [params["peft.method"] for params in found] == ["none", "ia3", "lora", "pfeiffer"]
    assert [params.get("optim.lr") for params in found] == [5e-5, None, 1e-3, 1e-3]  # that of ia3 is not searched
    assert [params.get("peft.r") for params in found] == [None, None, 8, None]


def test_a_fixed_method_begins_with_its_default_and_then_with_what_beats_it() -> None:
    document = space_of(
        peft={"method": "lora", "target": [["query", "value"], ["query", "key", "value", "output"]]},
        optim={"lr": RATE},
        train={"epochs": {"low": 2, "high": 6}},
    )
    narrow, wide = '["query", "value"]', '["query", "key", "value", "output"]'
    assert portfolio(document) == [
        {"peft.target": narrow, "optim.lr": 1e-3, "train.epochs": 3},
        {"peft.target": wide, "optim.lr": 2e-3, "train.epochs": 6},
        {"peft.target": wide, "optim.lr": 1e-3, "train.epochs": 6},
        {"peft.target": narrow, "optim.lr": 5e-4, "train.epochs": 6},
    ]


def test_where_the_batch_is_searched_more_and_larger_steps_come_second() -> None:
    document = space_of(peft="lora", optim={"lr": RATE}, train={"batch_size": [8, 16, 32]})
    assert [tuple(params.values()) for params in portfolio(document)] == [(1e-3, 16), (2e-3, 8), (2e-3, 16), (5e-4, 16)]


def test_moves_stay_within_the_domains() -> None:
    document = space_of(peft="lora", optim={"lr": [4e-4, 1e-3, 1.5e-3]}, train={"epochs": [1, 3, 4]})
    assert [tuple(params.values()) for params in portfolio(document)] == [(1e-3, 3), (1.5e-3, 4), (1e-3, 4), (4e-4, 4)]


def test_the_own_choice_of_the_schema_goes_before_the_first() -> None:
    document = space_of(optim={"name": ["lion", "adamw"]}, schedule=["cosine", "linear"])
    assert portfolio(document) == [{"optim.name": "adamw", "schedule.name": "linear"}]
    assert portfolio(space_of(optim={"name": ["lion", "sgd"]})) == [{"optim.name": "lion"}]


def test_what_the_schema_refuses_is_passed_over() -> None:
    document = space_of(peft={"method": ["lora", "none"]}, freeze={"strategy": "freeze_encoder"})
    assert portfolio(document) == [{"peft.method": "none"}]


@pytest.mark.parametrize("given", [{}, {"peft": "lora"}, {"peft": {"method": ["adalora", "compacter", "none"]}}])
def test_every_entry_for_the_default_space_is_legal_and_searched(given: dict[str, Any]) -> None:
    document = with_default_domains({"task": {"kind": "classification"}, "data": {"train": "rows.csv"}, **given})
    found, parameters = portfolio(document), Space(document).parameters
    assert len(found) == FIRST
    for params in found:
        assert proposal_of(params, document).params == params
        for path, value in params.items():
            domain = parameters[path].domain
            assert not isinstance(domain, Range) or domain.low <= value <= domain.high
