"""What a study may search, and what it must refuse before the first trial."""

from typing import Any

import pytest

from tunery.errors import ConfigError
from tunery.schema.reading.document import validate
from tunery.schema.space.check import check_space
from tunery.schema.space.default import rates_left_out, space_of, with_default_domains
from tunery.schema.space.sampled import (
    UNSET,
    config_path,
    domains,
    fields_at,
    integer_paths,
    may_be_unset,
    sample,
    with_domains,
)
from tunery.schema.spec import Choices, Range

INF = float("inf")
BASE: dict[str, Any] = {"task": {"kind": "classification"}, "data": {"train": "train.csv"}}


def space(**sections: Any) -> dict[str, Any]:
    return with_domains({**BASE, **sections})


def problems(**sections: Any) -> list[str]:
    with pytest.raises(ConfigError, match="in the search space") as caught:
        check_space(space(**sections))
    return [str(problem) for problem in caught.value.problems]


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    # ranges that are none
    (
        {"optim": {"lr": {"low": 3, "high": 1}}},
        ["optim.lr: `low <= high` must hold for two numbers, but got low=3"],
    ),
    ({"optim": {"lr": {"low": 1}}}, ["optim.lr: `low <= high` must hold for two numbers, but got low=1, high=null"]),
    (
        {"optim": {"lr": {"low": "a", "high": 2}}},
        ["optim.lr: `low <= high` must hold for two numbers, but got low="],
    ),
    ({"optim": {"lr": {"low": 0, "high": 1, "log": True}}}, ["optim.lr: a logarithmic range needs `low > 0`, but got"]),
    ({"optim": {"lr": {"low": 1, "high": 2, "log": "yes"}}}, ["optim.lr: log must be true or false, but got 'yes'"]),
    ({"optim": {"lr": {"low": 1, "high": 2, "step": -1}}}, ["optim.lr: step must be a number > 0, but got -1"]),
    ({"optim": {"lr": {"low": 1, "high": 2, "step": INF}}}, ["optim.lr: step must be a number > 0, but got inf"]),
    (
        {"optim": {"lr": {"low": 0.1, "high": 1, "step": 1e-20}}},
        ["optim.lr: a range may have 2**53 steps, the numbers that floats tell apart; 1e-20 is too small a step"],
    ),
    (
        {"optim": {"lr": {"low": 0.1, "high": INF}}},
        ["optim.lr: `low <= high` must hold for two numbers, but got low=0.1, high=inf"],
    ),
    (
        {"optim": {"lr": {"low": 1, "high": 2, "logg": True}}},
        ["optim.lr: a range has the keys low, high, log and"],
    ),
    ({"optim": {"lr": {"low": 1, "high": 2, "log": True, "step": 1}}}, ["optim.lr: a range is either logarithmic or "]),
    ({"peft": {"method": "lora", "bias": {"low": 1, "high": 2}}}, ["peft.bias: a range is for numbers; write a list"]),
    ({"peft": {"method": {"low": 1, "high": 2}}}, ["peft.method: a range is for numbers; write a list of names from"]),
    # ends and choices that the schema refuses
    ({"optim": {"lr": {"low": -1, "high": 1}}}, ["optim.lr: must be greater than 0, but got -1"]),
    (
        {"train": {"epochs": {"low": 0.5, "high": 3}}},
        ["train.epochs: must be a whole number >= 1 and <= 100, or auto, but"],
    ),
    ({"train": {"epochs": {"low": 1, "high": 3, "step": 0.5}}}, ["train.epochs: the step of a range of whole numbers"]),
    (
        {"train": {"batch_size": [8, "x"]}},
        ["train.batch_size: must be a whole number >= 1 and <= 1,000,000, but got 'x'"],
    ),
    ({"peft": ["lora", "ful"]}, ["peft.method: unknown choice 'ful'; did you mean 'full'?"]),
    (
        {"model": {"head": {"kind": ["mlp", "linaer"]}}},
        ["model.head.kind: unknown choice 'linaer'; did you mean "],
    ),
    ({"model": {"head": ["mlp", "native"]}, "optim": {"lr": -1}}, ["optim.lr: must be greater than 0, but got -1"]),
    # keys
    ({"optim": {"lrr": {"low": 1, "high": 2}}}, ["optim.lrr: unknown key; did you mean 'lr'?"]),
    ({"optim": {"name": ["adamw"], "momentum": 0.9}}, ["optim.momentum: this key belongs to sgd_momentum, not to 'ad"]),
    ({"peft": {"method": ["lora", "none"], "rr": 3}}, ["peft.rr: unknown key; "]),
    ({"optm": {"lr": [1, 2]}}, ["optm: unknown section; did you mean 'optim'?"]),
    # fixed values are the real problem, wherever they are
    (
        {"peft": {"method": ["lora", "none"], "r": "x"}},
        ["peft.r: must be a whole number >= 1 and <= 65,536, but got 'x'"],
    ),
    ({"peft": ["lora", "none"], "search": {"objective": "f1"}}, ["search.objective: 'f1' is not a metric of task"]),
    # what cannot be searched
    ({"data": {"train": ["a", "b"]}}, ["data.train: the trials of a study have this in common; write one value"]),
    ({"task": ["classification", "multilabel"]}, ["task.kind: the trials of a study have this in common"]),
    ({"search": {"n_trials": [1, 2]}}, ["search.n_trials: the trials of a study have this in common"]),
    # values that the rules refuse in every combination
    ({"peft": ["lora", "none"], "freeze": "freeze_encoder"}, ["freeze.strategy: 'freeze_encoder' together with peft"]),
    ({"train": {"early_stopping": {"metric": ["loss", "f2"]}}}, ["train.early_stopping.metric: 'f2' is not a metric"]),
    # together
    ({"seed": [0, -1], "optim": {"lr": [1, "x"]}}, ["seed: must be greater than or equal to 0", "optim.lr: must be a"]),
]


@pytest.mark.parametrize(("sections", "messages"), REFUSED, ids=[messages[0] for _, messages in REFUSED])
def test_refused(sections: dict[str, Any], messages: list[str]) -> None:
    found = problems(**sections)
    assert len(found) == len(messages)
    assert all(line.startswith(message) for line, message in zip(found, messages, strict=True))


@pytest.mark.parametrize(
    "sections",
    [
        {"peft": {"method": ["none", "lora"], "r": [4, 8]}, "freeze": {"strategy": ["none", "freeze_encoder"]}},
        {"peft": {"method": ["none", "lora"], "r": 4}},
        {"optim": {"name": ["adamw", "sgd_momentum"], "momentum": {"low": 0.5, "high": 0.9}}},
        {"model": {"head": {"kind": ["native", "mlp"], "hidden": [8, 16]}}},
        {"seed": [0, 1, 2]},
        {"optim": {"lr": {"low": 1e-4, "high": 1e-4}}},
        {},
    ],
)
def test_accepted(sections: dict[str, Any]) -> None:
    check_space(space(**sections))


def test_lists_and_ranges_are_read_where_a_value_may_vary() -> None:
    document = space(
        optim={"lr": {"low": 1e-5, "high": 1e-3, "log": True}, "betas": [[0.9, 0.99], [0.9, 0.999]]},
        peft={"method": "lora", "target": ["query", "value"], "r": [4, 8]},
        train={"epochs": {"low": 1, "high": 3}, "early_stopping": {"patience": [1, 2]}},
    )
    assert domains(document) == {
        "optim.lr": Range(1e-5, 1e-3, log=True),
        "optim.betas": Choices(((0.9, 0.99), (0.9, 0.999))),
        "peft.r": Choices((4, 8)),
        "train.epochs": Range(1, 3),
        "train.early_stopping.patience": Choices((1, 2)),
    }
    assert integer_paths(document) == {"peft.r", "train.epochs", "train.early_stopping.patience"}
    assert with_domains(document) == document


def test_a_parameter_is_asked_for_only_where_it_exists() -> None:
    document = space(peft={"method": ["none", "lora"], "r": [4, 8], "alpha": 3})
    asked: list[str] = []

    def choose(path: str, domain: Any) -> Any:
        asked.append(path)
        return domain.values[0]

    assert sample(document, choose)["peft"] == {"method": "none"}
    assert asked == ["peft.method"]
    sampled = sample(document, lambda path, domain: domain.values[-1])
    assert sampled["peft"] == {"method": "lora", "r": 8, "alpha": 3}


def test_default_domains_open_what_is_not_fixed() -> None:
    document = with_default_domains({**BASE, "peft": "lora", "optim": {"lr": 1e-3}, "train": {"early_stopping": None}})
    found = domains(document)
    assert {"peft.r", "peft.target", "optim.weight_decay", "train.epochs", "regularization.head_dropout"} <= set(found)
    assert "optim.lr" not in found
    assert document["train"]["early_stopping"] is None
    check_space(document)


def test_default_domains_open_every_branch_that_is_searched() -> None:
    document = with_default_domains({**BASE, "peft": ["none", "lora"], "optim": ["adamw", "sgd_momentum"]})
    found = domains(document)
    assert {"peft.method", "peft.r", "optim.name", "optim.betas", "optim.nesterov"} <= set(found)
    assert found["optim.adamw.lr"] == Range(5e-6, 1e-2, log=True), "a factor of ten around both methods' defaults"
    assert found["optim.sgd_momentum.lr"] == Range(3.5e-4, 0.7, log=True)
    assert "optim.lr" not in found, "its range differs between the two optimizers"
    check_space(document)


def test_a_choice_that_is_not_made_is_opened_but_for_what_the_rest_rules_out() -> None:
    everything = domains(with_default_domains(BASE))
    assert len(everything) > 90
    assert everything["freeze.strategy"] == Choices(("none", "freeze_encoder", "freeze_layers_n", "adapter"))
    frozen = domains(with_default_domains({**BASE, "freeze": "freeze_encoder"}))
    assert "peft.method" not in frozen and not any(path.startswith("peft") for path in frozen)
    lora = domains(with_default_domains({**BASE, "peft": "lora"}))
    assert lora["freeze.strategy"] == Choices(("none", "adapter"))
    assert "regularization.encoder_dropout" in lora, "it is heard with peft.bias=all"
    quiet = domains(with_default_domains({**BASE, "peft": {"method": "lora", "bias": "none"}, "freeze": "none"}))
    assert "regularization.encoder_dropout" not in quiet, "nothing hears it"
    check_space(with_default_domains(BASE))


def test_what_stands_under_a_choice_is_for_that_choice_alone() -> None:
    block = {"dropout": {"low": 0.1, "high": 0.3}, "r": 2}
    document = space(peft={"method": ["lora", "dora", "ia3"], "r": [4, 8], "alpha": 3, "dora": block})
    check_space(document)
    assert domains(document) == {
        "peft.method": Choices(("lora", "dora", "ia3")),
        "peft.r": Choices((4, 8)),
        "peft.dora.dropout": Range(0.1, 0.3),
    }
    asked: list[str] = []

    def choose(path: str, domain: Any, method: str) -> Any:
        asked.append(path)
        return method if path == "peft.method" else 8 if path == "peft.r" else 0.2

    assert sample(document, lambda p, d: choose(p, d, "lora"))["peft"] == {"method": "lora", "r": 8, "alpha": 3}
    assert asked == ["peft.method", "peft.r"]
    asked.clear()
    dora = sample(document, lambda p, d: choose(p, d, "dora"))["peft"]
    assert dora == {"method": "dora", "alpha": 3, "dropout": 0.2, "r": 2}, "the block wins"
    assert asked == ["peft.method", "peft.dora.dropout"]
    assert sample(document, lambda p, d: choose(p, d, "ia3"))["peft"] == {"method": "ia3"}
    assert sample(document, lambda p, d: "dora" if p == "peft.method" else UNSET)["peft"] == {
        "method": "dora",
        "alpha": 3,
        "r": 2,
    }


def test_a_path_within_a_block_is_one_of_the_config() -> None:
    assert config_path("peft.lora.r") == "peft.r" == config_path("peft.r")
    assert config_path("model.head.mlp.hidden") == "model.head.hidden"
    assert config_path("task.loss.focal.gamma") == "task.loss.gamma"
    assert config_path("task.loss.focal") == "task.loss.focal", "a key of `hybrid` has the name of a loss"
    assert [field.default for field in fields_at("optim.lamb.eps")] == [1e-6]
    assert may_be_unset("regularization.encoder_dropout") and not may_be_unset("peft.lora.r")


def test_a_range_of_rates_that_leaves_out_a_default_is_told() -> None:
    rates = {"lr": {"low": 1e-4, "high": 2e-3, "log": True}}
    searched = {**BASE, "peft": {"method": ["lora", "none"]}, "optim": rates}
    told = ["optim.lr from 0.0001 to 0.002 leaves out the default, 5e-05, for peft.method=full with adamw"]
    assert list(rates_left_out(space_of(searched))) == told
    assert list(rates_left_out(space_of({**searched, "peft": "lora"}))) == []
    assert list(rates_left_out(space_of({**searched, "freeze": "freeze_encoder", "peft": "none"}))) == []
    assert list(rates_left_out(space_of({**searched, "optim": {"lr": 1e-3}}))) == []
    assert list(rates_left_out(space_of(BASE))) == []


def test_default_domains_leave_a_wrong_value_for_the_check() -> None:
    with pytest.raises(ConfigError, match="peft: must be a mapping"):
        check_space(with_default_domains({**BASE, "peft": 3, "optim": {"name": {"a": 1}}}))


def test_every_end_of_a_default_domain_is_legal_alone() -> None:
    document = with_default_domains({**BASE, "peft": "lora", "model": {"head": "mlp"}})
    validate(sample(document, lambda path, domain: domain.low if isinstance(domain, Range) else domain.values[0]))
    validate(sample(document, lambda path, domain: domain.high if isinstance(domain, Range) else domain.values[-1]))


@pytest.mark.parametrize("kind", ["causal_lm", "mlm"])
def test_language_models_have_one_head_and_none_is_searched(kind: str) -> None:
    space = domains(space_of({"task": kind, "data": {"train": "a.txt"}, "model": {"name": "gpt2"}}))
    assert space and not [path for path in space if path.startswith("model.head")]
    written = {"task": kind, "data": {"train": "a.txt"}, "model": {"name": "gpt2", "head": "native"}, "train": {}}
    assert "model.head.kind" not in domains(with_default_domains(written))
