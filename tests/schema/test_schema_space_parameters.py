"""Which choices make a parameter exist."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tunery.schema.reading.fields import ends
from tunery.schema.space.default import with_default_domains
from tunery.schema.space.parameters import parameters
from tunery.schema.space.sampled import domains, sample, with_domains
from tunery.schema.spec import Domain

LEAST: dict[str, Any] = {"task": {"kind": "classification"}, "data": {"train": "train.csv"}}
DEFAULT = with_default_domains(LEAST)


def when(**sections: Any) -> dict[str, dict[str, tuple[str, ...]]]:
    return {p.path: dict(p.when) for p in parameters(with_domains({**LEAST, **sections}))}


def test_a_flat_key_hangs_on_the_branches_that_have_it() -> None:
    peft = {"method": ["none", "lora", "adalora"], "r": [4, 8], "alpha": [8, 16], "lora": {"bias": ["none", "all"]}}
    assert when(peft=peft, optim={"lr": {"low": 1e-5, "high": 1e-3}}) == {
        "peft.method": {},
        "peft.r": {"peft.method": ("lora",)},
        "peft.alpha": {"peft.method": ("lora", "adalora")},
        "peft.lora.bias": {"peft.method": ("lora",)},
        "optim.lr": {},
    }


def test_a_block_takes_its_key_away_from_the_flat_one() -> None:
    peft = {"method": ["lora", "dora"], "r": [4, 8], "dora": {"r": [16, 32]}}
    assert when(peft=peft)["peft.r"] == {"peft.method": ("lora",)}


def test_nothing_hangs_on_a_choice_that_is_made() -> None:
    assert when(peft={"method": "lora", "r": [4, 8]}) == {"peft.r": {}}


def test_a_choice_inside_a_section_is_found() -> None:
    found = when(regularization={"adversarial": {"name": ["none", "fgm", "pgd"], "steps": [2, 3]}})
    assert found["regularization.adversarial.steps"] == {"regularization.adversarial.name": ("pgd",)}


def test_the_default_space_is_listed_whole() -> None:
    found = list(parameters(DEFAULT))
    assert {parameter.path: parameter.domain for parameter in found} == domains(DEFAULT)
    places = {parameter.path: place for place, parameter in enumerate(found)}
    assert all(places[choice] < places[p.path] for p in found for choice in p.when), "choices come first"


@given(st.randoms(use_true_random=False))
def test_a_parameter_is_asked_for_exactly_where_its_choices_are_made(random: Any) -> None:
    asked: dict[str, Any] = {}

    def choose(path: str, domain: Domain) -> Any:
        asked[path] = random.choice(ends(domain))
        return asked[path]

    sample(DEFAULT, choose)

    def exists(conditions: Mapping[str, tuple[str, ...]]) -> bool:
        return all(asked.get(choice) in names for choice, names in conditions.items())

    assert set(asked) == {parameter.path for parameter in parameters(DEFAULT) if exists(parameter.when)}
