"""Which parameters decay, and how fast they learn."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSequenceClassification

from tunery.errors import ModelError
from tunery.model.backbones.families import norm_parameters, norm_pattern
from tunery.model.build import Built, build
from tunery.model.peft.methods import METHODS
from tunery.optim.groups import NO_DECAY, Group, LearningRates, Roles, parameter_groups
from tunery.schema.config.freeze import FreezeLayers, NoFreeze
from tunery.schema.config.model import LinearHead, Model, NativeHead
from tunery.schema.config.optim import NoDecay
from tunery.schema.config.peft import Dora, Library, Lora, LoraPlus, NoPeft
from tunery.schema.config.task import LabelOutput

HEAD = {"labels": LabelOutput(labels=("no", "maybe", "yes"), problem="single_label")}
RATES = LearningRates(encoder=1.0, head=7.0, adapter=3.0)
KINDS: tuple[NoDecay, ...] = get_args(NoDecay)


class Gamma(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))


class Net(nn.Module):
    """A parameter of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.norm = nn.Embedding(5, 4), nn.LayerNorm(4)
        self.linear, self.head = nn.Linear(4, 4), nn.Linear(4, 2)


def roles_of(**given: Any) -> Roles:
    no_names = dict.fromkeys(("head", "adapter", "norms", "no_decay"), ())
    return Roles(**{**no_names, "lr_scale": {}, "depth_of": lambda name: 1, "layers": 1, **given})


def groups_of(module: nn.Module, roles: Roles | None = None, **changes: Any) -> list[Group]:
    given = {"rates": RATES, "weight_decay": 0.1, "no_decay": KINDS, "loss": nn.Identity(), **changes}
    return parameter_groups(module, roles or roles_of(), **given)


def rules(module: nn.Module, groups: list[Group]) -> dict[str, Group]:
    """Name -> its group."""
    found = {part: group for group in groups for part in group["params"]}
    return {name: found[part] for name, part in module.named_parameters() if part in found}


def built_groups(built: Built, **changes: Any) -> dict[str, Group]:
    roles = Roles(**vars(built.roles))
    return rules(built.module, groups_of(built.module, roles, **changes))


def make(folder: Path, *, peft: Any = None, freeze: Any = None, head: Any = None) -> Built:
    model = Model(name=str(folder), head=head or NativeHead())
    return build(model, outputs=HEAD, peft=peft or NoPeft(), freeze=freeze or NoFreeze())


NAMES = st.sampled_from(["weight", "bias", "scale"])
HOLDERS = st.dictionaries(NAMES, st.booleans(), max_size=3)
MODULES = st.dictionaries(st.sampled_from("abcde"), HOLDERS, max_size=5)
"""Module -> name of a parameter -> whether it is trained."""


@given(modules=MODULES, learned=st.booleans(), data=st.data())
def test_groups_partition_the_trainable_parameters_by_role_rate_and_decay(
    modules: dict[str, dict[str, bool]], learned: bool, data: st.DataObject
) -> None:
    parts = {
        holder: nn.ParameterDict({name: nn.Parameter(torch.zeros(1), trained) for name, trained in inner.items()})
        for holder, inner in modules.items()
    }
    module, loss = nn.ModuleDict(parts), Gamma().requires_grad_(learned)
    trained = {name: part for name, part in module.named_parameters() if part.requires_grad}
    some = st.sets(st.sampled_from(sorted(trained))) if trained else st.just(set[str]())
    head, adapter, fixed = data.draw(some), data.draw(some), data.draw(some)
    depth, scale = {name: data.draw(st.integers(0, 4)) for name in trained}, dict.fromkeys(data.draw(some), 0.5)
    norms = data.draw(some)
    roles = Roles(head, adapter, norms, fixed, scale, depth.__getitem__, 3)
    no_decay = data.draw(st.sets(st.sampled_from(KINDS)))
    rates = LearningRates(1.0, 7.0, 3.0, layerwise_decay=0.5)
    groups = groups_of(module, roles, rates=rates, no_decay=no_decay, loss=loss)

    everything = [*trained.values(), *([loss.weight] if learned else [])]
    assert sorted(id(part) for group in groups for part in group["params"]) == sorted(map(id, everything))
    assert len({(group["role"], group["lr"], group["weight_decay"]) for group in groups}) == len(groups)
    for name, group in rules(module, groups).items():
        role = "head" if name in head else "adapter" if name in adapter else "encoder"
        layers_below_the_top = 0 if role == "head" else 3 - min(3, depth[name])
        expected = {"head": 7.0, "adapter": 3.0, "encoder": 1.0}[role] * scale.get(name, 1) / 2**layers_below_the_top
        assert (group["role"], group["lr"]) == (role, expected)
        is_norm, is_bias = name in norms and "norm" in no_decay, name.endswith("bias") and "bias" in no_decay
        assert group["weight_decay"] == (0.0 if name in fixed or is_norm or is_bias else 0.1)


@pytest.mark.parametrize(
    ("no_decay", "decayed"),
    [
        (KINDS, {"linear.weight", "head.weight"}),
        (("bias",), {"linear.weight", "head.weight", "norm.weight", "embedding.weight"}),
        (("norm",), {"linear.weight", "head.weight", "linear.bias", "head.bias", "embedding.weight"}),
        (("embedding",), {"linear.weight", "head.weight", "linear.bias", "head.bias", "norm.weight", "norm.bias"}),
        ((), {name for name, _ in Net().named_parameters()}),
    ],
    ids=["default", "bias", "norm", "embedding", "none"],
)
def test_the_kinds_that_are_named_are_spared_and_no_others(no_decay: Any, decayed: set[str]) -> None:
    net = Net()
    found = rules(net, groups_of(net, roles_of(norms=("norm.weight", "norm.bias")), no_decay=no_decay))
    assert {name for name, group in found.items() if group["weight_decay"]} == decayed


def test_what_has_another_neutral_value_never_decays() -> None:
    net = Net()
    found = rules(net, groups_of(net, roles_of(no_decay={"linear.weight"}), no_decay=()))
    assert [name for name, group in found.items() if not group["weight_decay"]] == ["linear.weight"]


def test_schema_and_table_list_the_same_kinds() -> None:
    assert set(NO_DECAY) == set(KINDS)


def test_a_learned_loss_has_the_rate_of_the_head_and_no_decay() -> None:
    loss = Gamma()
    *_, last = groups_of(Net(), no_decay=(), loss=loss)
    assert last == {"params": [loss.weight], "lr": 7.0, "weight_decay": 0.0, "role": "loss"}


@pytest.mark.parametrize("first", ["table", "decoder"])
def test_a_tied_weight_is_one_parameter_and_spared_wherever_it_stands_first(first: str) -> None:
    table, decoder = nn.Embedding(5, 4), nn.Linear(4, 5)
    decoder.weight = table.weight
    parts = {"table": table, "decoder": decoder}
    groups = groups_of(nn.ModuleDict({first: parts.pop(first), **parts}), no_decay=("embedding",))
    assert [g["weight_decay"] for g in groups for part in g["params"] if part is table.weight] == [0.0]


@pytest.mark.parametrize("role", ["head", "adapter", "norms", "no_decay", "lr_scale"])
def test_a_name_that_matches_nothing_is_refused(role: str) -> None:
    net = Net()
    net.linear.weight.requires_grad = False
    roles = roles_of(**{role: {"linear.weight": 0.5, "stranger": 2.0}})
    with pytest.raises(ModelError, match="must be that of a trainable parameter, but linear.weight, stranger is not"):
        groups_of(net, roles)


def test_a_parameter_in_two_groups_is_refused() -> None:
    net = Net()
    with pytest.raises(ModelError, match=r"in one optimizer group, once, but head.bias, head.weight, loss.bias, "):
        groups_of(net, loss=net.head)


LAYER = re.compile(r"\.(?:layer|h)\.(\d+)\.")
"""Where all four tiny families count their layers."""


@pytest.mark.parametrize("peft", [NoPeft(), Lora(bias="all"), Dora()], ids=lambda peft: peft.method)
@pytest.mark.parametrize("head", [NativeHead(), LinearHead()], ids=lambda head: head.kind)
@pytest.mark.parametrize("name", ["tiny_bert", "tiny_roberta", "tiny_distilbert", "tiny_gpt2"])
def test_rates_fall_from_layer_to_layer_in_every_family(
    name: str, head: Any, peft: Any, request: pytest.FixtureRequest
) -> None:
    built = make(request.getfixturevalue(name), peft=peft, head=head)
    found = built_groups(built, rates=LearningRates(1.0, 7.0, 3.0, layerwise_decay=0.5))
    assert found.keys() == built.trainable
    for parameter, group in found.items():
        layer = LAYER.search(parameter)
        stem = re.search(r"embeddings|wte|wpe", parameter)
        below = 1 - int(layer[1]) if layer else 2 if stem else 0
        expected = 7.0 if parameter in built.roles.head else (3.0 if "lora" in parameter else 1.0) / 2**below
        assert group["lr"] == expected, parameter
    whole_model = isinstance(peft, NoPeft)
    assert {group["lr"] for group in found.values()} >= ({0.25, 0.5, 1.0, 7.0} if whole_model else {1.5, 3.0, 7.0})


@pytest.mark.parametrize("head", [NativeHead(), LinearHead()], ids=lambda head: head.kind)
@pytest.mark.parametrize("kind", METHODS, ids=lambda kind: kind.__name__)
def test_every_method_sorts_all_that_it_trains(kind: Any, head: Any, tiny_bert: Path) -> None:
    spec = Library(config="LoHaConfig", arguments={"r": 2}) if kind is Library else kind()
    built = make(tiny_bert, peft=spec, head=head)
    found = built_groups(built, no_decay=())
    assert {name: group["role"] for name, group in found.items()} == {
        name: "head" if name in built.roles.head else "adapter" if name in built.roles.adapter else "encoder"
        for name in built.trainable
    }
    assert {name for name, group in found.items() if not group["weight_decay"]} == built.roles.no_decay


def test_lora_plus_learns_faster_on_top_of_the_rate_of_adapters(tiny_bert: Path) -> None:
    built = make(tiny_bert, peft=LoraPlus(lr_ratio=4.0))
    rates = {(name.split(".")[-3], group["lr"]) for name, group in built_groups(built).items() if "lora" in name}
    assert rates >= {("lora_A", 3.0), ("lora_B", 12.0)}
    assert not rates & {("lora_A", 12.0), ("lora_B", 3.0)}


def test_frozen_layers_are_in_no_group(tiny_bert: Path) -> None:
    built = make(tiny_bert, freeze=FreezeLayers(n=1))
    found = built_groups(built)
    assert found.keys() == built.trainable
    assert not any(".layer.0." in name or "embeddings" in name for name in found)


TINY = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 60}
FAMILIES = ["bert", "deberta", "deberta-v2", "albert", "modernbert", "llama", "qwen3", "mpnet"]
TABLE = re.compile(r"(embeddings?|embed_tokens|relative_attention_bias)\.weight$")


@pytest.mark.parametrize("family", FAMILIES)
def test_norms_and_tables_are_known_in_every_family(family: str) -> None:
    """All that is one-dimensional, but for biases, is a norm's; what looks up tokens or positions is a table."""
    config = AutoConfig.for_model(family, **TINY, pad_token_id=0, cls_token_id=1, sep_token_id=2)
    model = AutoModelForSequenceClassification.from_config(config)
    named = dict(model.named_parameters())
    spared = {kind: set[str]() for kind in KINDS}
    for kind in KINDS:
        found = rules(model, groups_of(model, roles_of(norms=norm_parameters(model)), no_decay=(kind,)))
        spared[kind] = {name for name, group in found.items() if not group["weight_decay"]}
    flat = {name for name, part in named.items() if part.ndim == 1}
    weights = {name for name in flat if name.endswith("weight")}
    assert weights and weights <= spared["norm"] <= flat
    assert spared["bias"] == {name for name in named if name.endswith("bias")}
    assert flat == spared["bias"] | weights
    assert spared["embedding"] == {name for name in named if TABLE.search(name)} - flat


class OddNORM(nn.RMSNorm):
    """torch's own under another name."""


class GemmaNorm(nn.Module):
    """A family's own."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(4))


class AttentionNorm(nn.Module):
    """A block that is called after the norm in it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.query = nn.GroupNorm(2, 4), nn.Linear(4, 4)


def test_model_and_optimizer_have_one_rule_of_what_is_a_norm() -> None:
    module = nn.ModuleDict({"a": nn.BatchNorm1d(4), "b": OddNORM(4), "c": GemmaNorm(), "d": AttentionNorm()})
    norms = {"a.weight", "a.bias", "b.weight", "c.gain", "d.inner.weight", "d.inner.bias"}
    assert norm_parameters(module) == norms
    pattern = re.compile(norm_pattern(module, prefix=""))
    assert {name for name, _ in module.named_modules() if pattern.fullmatch(name)} == {"a", "b", "c", "d.inner"}
    found = rules(module, groups_of(module, roles_of(norms=norm_parameters(module)), no_decay=("norm",)))
    assert {name for name, group in found.items() if not group["weight_decay"]} == norms


def test_a_language_model_with_a_tied_decoder_adds_up() -> None:
    model = AutoModelForMaskedLM.from_config(AutoConfig.for_model("bert", **TINY, tie_word_embeddings=True))
    groups = groups_of(model, roles_of(norms=norm_parameters(model)))
    count = sum(1 for _ in model.parameters())
    assert sum(len(group["params"]) for group in groups) == count
    tied = model.get_input_embeddings().weight
    assert model.get_output_embeddings().weight is tied
    assert [group["weight_decay"] for group in groups for part in group["params"] if part is tied] == [0.0]
