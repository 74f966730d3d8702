"""Optimizers, schedules, losses: tables, groups, curves."""

from typing import Any

import pytest
import torch
from torch import nn

from tunery.errors import ConfigError
from tunery.optim.groups import parameter_groups
from tunery.optim.optimizers import OPTIMIZERS, make_optimizer
from tunery.optim.schedules import CURVES, factor, make_schedule, warmup_steps
from tunery.schema.fields import alternatives
from tunery.schema.optim import AdamW, Optim
from tunery.schema.schedule import Constant, Cosine, Linear, Schedule


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.norm = nn.Embedding(5, 4), nn.LayerNorm(4)
        self.linear, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.linear(self.norm(self.embedding(tokens))))


def test_schema_and_tables_list_the_same_choices() -> None:
    assert set(alternatives(Optim)) == set(OPTIMIZERS)
    assert set(alternatives(Schedule)) == set(CURVES)


def test_groups_cover_every_trainable_parameter_once_and_spare_biases_norms_embeddings() -> None:
    net = Net()
    net.linear.weight.requires_grad = False
    groups = parameter_groups(
        net, {"head.weight", "head.bias"}, lr=1.0, head_lr=2.0, weight_decay=0.1, lr_scale={}, never_decayed=()
    )
    found = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(found) == sorted(id(p) for p in net.parameters() if p.requires_grad)
    rule = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert rule[id(net.head.weight)] == (2.0, 0.1)
    assert rule[id(net.head.bias)] == (2.0, 0.0)
    for exempt in (net.embedding.weight, net.norm.weight, net.norm.bias, net.linear.bias):
        assert rule[id(exempt)] == (1.0, 0.0)


@pytest.mark.parametrize("spec", [kind() for kind in OPTIMIZERS], ids=lambda spec: spec.name)
def test_every_optimizer_trains(spec: Any) -> None:
    torch.manual_seed(0)
    net, tokens, targets = Net(), torch.arange(5), torch.tensor([0, 1, 0, 1, 0])
    optimizer = make_optimizer(spec, net, lr=0.05, head_lr=0.05, head_names=set(), lr_scale={}, never_decayed=())
    losses = []
    for _ in range(60):
        loss = nn.functional.cross_entropy(net(tokens), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 < losses[0]


def test_adamw_takes_every_parameter_of_its_spec() -> None:
    spec = AdamW(betas=(0.8, 0.9), eps=1e-6, weight_decay=0.3)
    groups = make_optimizer(
        spec, Net(), lr=0.1, head_lr=0.1, head_names=set(), lr_scale={}, never_decayed=()
    ).param_groups
    assert {(group["betas"], group["eps"], group["lr"]) for group in groups} == {((0.8, 0.9), 1e-6, 0.1)}
    assert {group["weight_decay"] for group in groups} == {0.0, 0.3}


@pytest.mark.parametrize(
    ("spec", "middle", "end"),
    [(Linear(), 0.5, 0.0), (Cosine(), 0.5, 0.0), (Constant(), 1.0, 1.0)],
    ids=lambda s: str(s),
)
def test_curves_at_start_end_of_warmup_middle_and_end(spec: Any, middle: float, end: float) -> None:
    def at(step: int) -> float:
        return factor(spec, step, warmup=10, total=110)

    assert [at(0), at(5), at(10)] == [0.0, 0.5, 1.0]
    assert at(60) == pytest.approx(middle)
    assert at(110) == pytest.approx(end)


def test_schedule_moves_every_group_by_the_same_factor() -> None:
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (1.0, 2.0)])
    schedule = make_schedule(Linear(warmup=0.1), optimizer, total=20)
    rates = []
    for _ in range(20):
        rates.append(schedule.get_last_lr())
        optimizer.step()
        schedule.step()
    assert rates[0] == [0.0, 0.0] and rates[2] == [1.0, 2.0] and rates[11] == [0.5, 1.0]


def test_warmup_is_a_share_below_one_and_a_number_from_one_on() -> None:
    assert warmup_steps(0.06, total=100) == 6
    assert warmup_steps(50, total=100) == 50
    assert warmup_steps(0.0, total=1) == 0
    with pytest.raises(ConfigError, match="schedule.warmup: the warm-up must be shorter .* got 100 of 100 steps"):
        warmup_steps(100, total=100)
