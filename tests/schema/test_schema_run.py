"""A config is whole, resolved, frozen, and survives being written down; documents drawn from the schema itself."""

from functools import cache
from itertools import product
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from tunery.errors import ConfigError
from tunery.schema.config.optim import AdamW, Lion
from tunery.schema.config.peft import WITHOUT_STEPS, Lora, NoPeft
from tunery.schema.config.run import FROZEN_ENCODER_LR, RunConfig, far_rates
from tunery.schema.reading.document import override, validate
from tunery.schema.reading.fields import alternatives, default_domain, element, is_optional, members, tag_of
from tunery.schema.reading.validation import ends
from tunery.schema.reading.yaml_text import dump_yaml, parse_yaml
from tunery.schema.space.check import check_space
from tunery.schema.space.sampled import domains, sample, with_domains
from tunery.schema.spec import Choices, Range, Spec

BASE: dict[str, Any] = {"task": {"kind": "classification"}, "data": {"train": "train.csv"}}
ALLOCATION = ("peft.init_r", "peft.target_r", "peft.warmup", "peft.settle")
KRONECKER = ("peft.bottleneck", "peft.phm_dim")
OWN_RATE = (
    "optim.lr",
    "optim.head_lr",
    "optim.adapter_lr",
    "optim.layerwise_lr_decay",
    "optim.warmup_init",
)
BETWEEN_SECTIONS = (
    "search.objective",
    "search.direction",
    "task.loss.name",
    "task.criteria",
    "task.threshold.method",
    "task.threshold.precision",
    "task.threshold.recall",
    "task.costs",
    "metric",
    "pretrain.dapt",
    "pretrain.tapt",
    "pretrain.dapt.steps",
    "pretrain.tapt.steps",
    "pretrain.dapt.rungs",
    "pretrain.tapt.rungs",
    "pretrain.peft.method",
    "data.revision",
    "data.label",
    "data.labels",
    "data.evidence",
    "data.rejected",
    "data.annotations",
    "data.ignore_labels",
    "data.id",
    "data.text_pair",
    "data.text",
    "data.columns",
    "data.split",
    "data.documents",
    "data.prompt",
    "data.completion",
    "data.between",
    "data.messages",
    "data.folds",
    "data.repeats",
    "data.fold",
    "data.part",
    "model.head.kind",
    "model.head.pooling",
    "model.evidence_head.kind",
    "model.evidence_head.neighbours",
    "model.coupling.kind",
    "model.quantization",
    "freeze.strategy",
    "freeze.unfreeze_layernorm",
    "regularization.augmentation.name",
    "regularization.head_dropout",
    "regularization.token_dropout",
    "regularization.label_smoothing",
    "peft.target_r",
    "peft.settle",
    "peft.phm_dim",
    "train.gradient_checkpointing",
    *OWN_RATE,
    "schedule.name",
    "peft.method",
    "schedule.warmup",
    "train.early_stopping.mode",
    "task.loss.gamma",
    "task.loss.gamma_min",
    "encoder_dropout",
    "attention_dropout",
)
"""Where the rules that a single section cannot break are reported."""
IN_RULES = (
    "optim.name",
    "schedule.name",
    "peft.method",
    "freeze.strategy",
    "freeze.unfreeze_layernorm",
    "regularization.augmentation.name",
    "regularization.label_smoothing",
    *ALLOCATION,
    *KRONECKER,
)
_CANDIDATES = [0, 1, 2, 16, 0.1, 0.25, 0.5, 0.9, 1e-5, 3.0]


@cache
def legal(spec: type[Spec], key: str) -> st.SearchStrategy[Any]:
    """Values that the schema takes for a plain key: its default, its words, its domain, texts and numbers that fit."""
    field = spec.model_fields[key]
    values = [] if field.is_required() else [field.default]
    domain = default_domain(field)
    values += ends(domain) if domain else []
    for kind in alternatives(field.annotation):
        values += get_args(kind) if get_origin(kind) is Literal else [True, False] if kind is bool else []
        values += [x for x in _CANDIDATES if kind in (int, float)]
        values += [{"a": 0.5, "low": 0.25}, {"a": {"b": 2.0}}] if get_origin(kind) is dict else []
        values += ["f1_macro", "loss", "a b", "1e5", "no", "VeraConfig"] if kind is str else []
    return st.sampled_from([v for v in values if fits(spec, key, v)])


def fits(spec: type[Spec], key: str, value: Any) -> bool:
    try:
        required = {k: "VeraConfig" for k, f in spec.model_fields.items() if f.is_required()}
        spec.model_validate({**required, key: value})
    except ValidationError as error:
        return all(detail["loc"][0] != key for detail in error.errors())  # other required keys may be no texts
    return True


@st.composite
def mappings(draw: st.DrawFn, spec: type[Spec]) -> dict[str, Any]:
    """Legal keys of one spec, each there or not."""
    drawn = {}
    for key, field in spec.model_fields.items():
        if key == tag_of_spec(spec):
            drawn[key] = field.default
        elif field.is_required() or draw(st.booleans()):
            drawn[key] = draw(values(spec, key))
    return drawn


def tag_of_spec(spec: type[Spec]) -> str | None:
    return tag_of(FieldInfo.from_annotation(spec))


def values(spec: type[Spec], key: str) -> st.SearchStrategy[Any]:
    field = spec.model_fields[key]
    if members(field):
        inner = st.sampled_from(list(members(field).values())).flatmap(mappings)
        return inner | st.none() if is_optional(field) else inner
    if item := element(field):
        return st.lists(st.sampled_from(list(members(item).values())).flatmap(mappings), max_size=2)
    return legal(spec, key)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    return {
        key: draw(values(RunConfig, key)) if members(field) or element(field) else field.default
        for key, field in RunConfig.model_fields.items()
        if field.is_required() or draw(st.booleans())
    }


def read(document: dict[str, Any]) -> RunConfig:
    """The config of a drawn document, unless a rule between its sections is broken."""
    try:
        return validate(document)
    except ConfigError as error:
        assert all(problem.path.endswith(BETWEEN_SECTIONS) for problem in error.problems), error
        assume(False)
        raise


@settings(
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)  # rules between sections refuse many of the drawn
@given(documents())
def test_a_config_survives_being_written_down(document: dict[str, Any]) -> None:
    config = read(document)
    written = config.model_dump(mode="json")
    assert validate(written) == config
    assert validate(parse_yaml(dump_yaml(written), source="text")) == config
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


@given(documents(), st.data())
def test_overriding_is_idempotent(document: dict[str, Any], data: st.DataObject) -> None:
    sections = [key for key, field in RunConfig.model_fields.items() if members(field)]
    section = data.draw(st.sampled_from(sections))
    spec = data.draw(st.sampled_from(list(members(RunConfig.model_fields[section]).values())))
    key = data.draw(st.sampled_from(list(spec.model_fields)))
    value = data.draw(values(spec, key))
    assignment = f"{section}.{key}={dump_yaml([value])}"
    once = override(document, [assignment])
    assert override(once, [assignment]) == once
    assert once[section][key] == parse_yaml(dump_yaml([value]), source="text")


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    """Legal spaces: in every union some branches are searched, with fixed keys and default domains of any of them."""
    document = dict(BASE)
    for section in ("peft", "freeze", "optim", "schedule"):
        field = RunConfig.model_fields[section]
        members_with_keys = [spec for spec in members(field).values() if spec not in WITHOUT_STEPS]
        specs = draw(st.lists(st.sampled_from(members_with_keys), min_size=1, unique=True))
        tag = str(tag_of(field))
        document[section] = {tag: [spec.model_fields[tag].default for spec in specs]}
        for spec in specs:
            for key, inner in spec.model_fields.items():
                if key != tag and (inner.is_required() or draw(st.booleans())):
                    others = [other for other in specs if key in other.model_fields]
                    fixed = values(spec, key).filter(
                        lambda v, key=key, specs=others: all(fits(s, key, v) for s in specs)
                    )
                    document[section][key] = draw(fixed) if default_domain(inner) is None else spread(inner)
    return with_domains(document)


def spread(field: FieldInfo) -> Any:
    domain = default_domain(field)
    if isinstance(domain, Range):
        return {"low": domain.low, "high": domain.high, "log": domain.log}
    assert isinstance(domain, Choices)
    return [list(v) if isinstance(v, tuple) else v for v in domain.values]


@given(spaces(), st.data())
def test_a_trial_has_no_key_that_is_foreign_to_its_branch(space: dict[str, Any], data: st.DataObject) -> None:
    asked: dict[str, Any] = {}

    def choose(path: str, domain: Range | Choices) -> Any:
        assert path not in asked, "asked twice"
        asked[path] = data.draw(st.sampled_from(ends(domain)))
        return asked[path]

    trial = sample(space, choose)
    assert set(asked) <= set(domains(space))
    assert not domains(trial)
    for section in ("peft", "freeze", "optim", "schedule"):
        field = RunConfig.model_fields[section]
        chosen = members(field)[trial[section][str(tag_of(field))]]
        assert set(trial[section]) <= set(chosen.model_fields)
        fixed = {k for k in chosen.model_fields if k in space[section]}
        assert fixed <= set(trial[section]), "a key that the branch has is kept"


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(spaces())
def test_what_check_space_accepts_has_a_legal_trial(space: dict[str, Any]) -> None:
    try:
        check_space(space)
    except ConfigError as error:
        assert {problem.path for problem in error.problems} <= {*BETWEEN_SECTIONS}
        assume(False)
    together = {path: ends(domain) for path, domain in domains(space).items() if path in IN_RULES}
    trials = (
        sample(space, _choosing(dict(zip(together, chosen, strict=True)))) for chosen in product(*together.values())
    )
    assert any(map(is_legal, trials))


def _choosing(fixed: dict[str, Any]) -> Any:
    return lambda path, domain: fixed.get(path, ends(domain)[0])


def is_legal(document: dict[str, Any]) -> bool:
    try:
        validate(document)
    except ConfigError:
        return False
    return True


# the learning rate


@pytest.mark.parametrize(
    ("sections", "lr"),
    [
        ({}, NoPeft.default_lr),
        ({"peft": {"method": "lora"}}, Lora.default_lr),
        ({"freeze": {"strategy": "freeze_encoder"}}, FROZEN_ENCODER_LR),
        ({"freeze": {"strategy": "freeze_layers_n"}}, NoPeft.default_lr),
        ({"optim": {"name": "adamw", "lr": 0.5}, "peft": {"method": "lora"}}, 0.5),
        ({"optim": {"name": "adamw", "weight_decay": 0.5}, "peft": {"method": "lora"}}, Lora.default_lr),
        ({"optim": {"name": "lion"}, "peft": {"method": "lora"}}, Lora.default_lr * Lion.lr_ratio),
        ({"optim": {"name": "adafactor"}}, NoPeft.default_lr),
    ],
)
def test_the_resolved_config_has_the_learning_rate(sections: dict[str, Any], lr: float) -> None:
    document = {**BASE, **sections}
    for config in (validate(document), RunConfig(**document), RunConfig.model_validate(document)):
        assert config.optim.lr == lr
        assert config.lr == lr
        assert config.model_dump()["optim"]["lr"] == lr


@pytest.mark.parametrize(("lr", "head_lr"), [(5e-5, 5e-4), (1e-3, 1e-2), (5e-3, 1e-2), (0.05, 0.05)])
def test_a_head_learns_faster_than_the_encoder(lr: float, head_lr: float) -> None:
    assert validate({**BASE, "optim": {"lr": lr}}).head_lr == pytest.approx(head_lr)
    assert validate({**BASE, "optim": {"lr": lr, "head_lr": 0.2}}).head_lr == 0.2


FAR = [
    ({"optim": {"lr": 1e-3}}, ["optim.lr=0.001 is 20 times the default, 5e-05, for peft=full with adamw"]),
    ({"optim": {"lr": 5e-4}}, []),
    ({"peft": "lora", "optim": {"lr": 1e-3}}, []),
    ({"peft": "ia3", "optim": {"lr": 1e-3}}, ["optim.lr=0.001 is 1/20 of the default, 0.02, for peft=ia3 with adamw"]),
    ({"optim": {"name": "sgd", "lr": 5e-5}}, ["optim.lr=5e-05 is 1/300 of the default, 0.015, for peft=full with sgd"]),
    (
        {"freeze": "freeze_encoder", "optim": {"lr": 2e-5}},
        ["optim.lr=2e-05 is 1/50 of the default, 0.001, for freeze=freeze_encoder with adamw"],
    ),
    ({"optim": {"head_lr": 0.1}}, ["optim.head_lr=0.1 is 200 times the default, 0.0005, for peft=full with adamw"]),
    ({"peft": "lora", "optim": {"adapter_lr": 0.1}}, ["optim.adapter_lr=0.1 is 100 times the default, 0.001, for"]),
    ({"optim": {"name": "adafactor", "relative_step": True}, "schedule": "none"}, []),
]


@pytest.mark.parametrize(("sections", "told"), FAR, ids=[str(sections) for sections, _ in FAR])
def test_a_rate_that_is_far_from_its_default_is_told(sections: dict[str, Any], told: list[str]) -> None:
    found = list(far_rates(validate({**BASE, **sections})))
    assert [line[: len(start)] for line, start in zip(found, told, strict=True)] == told


def test_specs_may_be_given_as_objects() -> None:
    config = RunConfig(**BASE, peft=Lora(r=4), optim=AdamW(betas=(0.9, 0.98)))
    assert config.optim == AdamW(lr=Lora.default_lr, head_lr=1e-2, betas=(0.9, 0.98))
    assert AdamW().lr is None


# the rest


def test_rules_hold_for_a_config_made_by_hand() -> None:
    with pytest.raises(ConfigError, match=r"search\.objective: 'f2' is not a metric"):
        RunConfig(**BASE, search={"objective": "f2"})


def test_a_config_never_changes() -> None:
    config = RunConfig(**BASE)
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 1  # type: ignore[misc]


TASKS: Any = members(RunConfig.model_fields["task"])


@pytest.mark.parametrize("kind", TASKS)
def test_the_objective_and_its_direction(kind: str) -> None:
    data = {"train": "a", **({"evidence": "spans"} if TASKS[kind].reads_evidence else {})}
    config = RunConfig(task={"kind": kind}, data=data)
    name, direction = next(iter(TASKS[kind].metrics.items()))
    assert (config.objective, config.direction, config.watched) == (name, direction, name)
    lower = RunConfig(task={"kind": kind}, data=data, search={"objective": "loss", "direction": "minimize"})
    assert (lower.objective, lower.direction, lower.watched) == ("loss", "minimize", "loss")


def test_every_default_domain_is_legal_and_holds_only_legal_values() -> None:
    waiting: list[type[Spec]] = [RunConfig]
    while waiting:
        spec = waiting.pop()
        for key, field in spec.model_fields.items():
            waiting += members(field).values()
            domain = default_domain(field)
            if domain is not None and (choices := members(field)):
                assert set(ends(domain)) <= set(choices), (spec, key)
            else:
                assert domain is None or all(fits(spec, key, value) for value in ends(domain)), (spec, key)


def test_every_field_says_what_it_means() -> None:
    waiting: list[type[Spec]] = [RunConfig]
    while waiting:
        spec = waiting.pop()
        assert spec.__doc__
        for key, field in spec.model_fields.items():
            waiting += members(field).values()
            assert field.description or key == tag_of_spec(spec), f"{spec.__name__}.{key} has no docstring"
