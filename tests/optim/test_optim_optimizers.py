"""What single optimizers do beside their contract: devices, libraries, and a rate of their own."""

import sys
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from tunery.errors import ConfigError, MissingExtra
from tunery.optim.groups import LearningRates, Roles
from tunery.optim.optimizers import OPTIMIZERS, PAGED, QUANT, check_device, make_optimizer
from tunery.schema.config import optim as schema

BITS = {schema.AdamW8bit: (False, 8), schema.PagedAdamW: (True, 32), schema.PagedAdamW8bit: (True, 8)}
"""Whether state is paged, and how many bits it has."""


def optimizer_of(spec: Any, module: nn.Module) -> Optimizer:
    roles = Roles((), (), (), (), lr_scale={}, depth_of=lambda name: 1, layers=1)
    return make_optimizer(spec, module, rates=LearningRates(0.01, 0.01, 0.01), roles=roles, loss=nn.Identity())


@pytest.mark.parametrize("warmup_init", [False, True])
def test_the_rate_that_adafactor_sets_itself_can_be_read(warmup_init: bool) -> None:
    module = nn.Linear(4, 3)
    spec = schema.Adafactor(relative_step=True, warmup_init=warmup_init, scale_parameter=True)
    optimizer = optimizer_of(spec, module)
    for number in (1, 2, 3):
        optimizer.zero_grad()
        module(torch.ones(4)).sum().backward()
        optimizer.step()
        rate = 1e-6 * number if warmup_init else 0.01
        assert [group["lr"] for group in optimizer.param_groups] == [rate, rate]


def test_a_rate_that_adafactor_is_given_stays() -> None:
    module = nn.Linear(4, 3)
    optimizer = optimizer_of(schema.Adafactor(scale_parameter=True), module)
    module(torch.ones(4)).sum().backward()
    optimizer.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.01]


@pytest.mark.parametrize("kind", QUANT, ids=lambda kind: kind().name)
def test_state_is_paged_and_small_where_the_name_says_so(kind: Any) -> None:
    optimizer: Any = optimizer_of(kind(), nn.Linear(4, 3))
    assert (optimizer.is_paged, optimizer.args.optim_bits) == BITS[kind]


@pytest.mark.parametrize("kind", PAGED, ids=lambda kind: kind().name)
def test_paged_state_is_refused_without_a_gpu(kind: Any) -> None:
    check_device(kind(), "cuda")
    with pytest.raises(ConfigError, match=r"optim.name: 'paged_.*' moves .* is on 'cpu'; take adamw, or adamw_8bit"):
        check_device(kind(), "cpu")


@pytest.mark.parametrize("kind", [kind for kind in OPTIMIZERS if kind not in PAGED], ids=lambda kind: kind().name)
def test_all_others_work_anywhere(kind: Any) -> None:
    check_device(kind(), "cpu")
    check_device(kind(), "cuda")


@pytest.mark.parametrize("kind", QUANT, ids=lambda kind: kind().name)
def test_a_missing_library_is_named(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # so it looks to Python where it is not installed
    message = r"bitsandbytes is not installed. Type: pip install 'tunery\[quant\]'"
    with pytest.raises(MissingExtra, match=message):
        check_device(kind(), "cuda")
    with pytest.raises(MissingExtra, match=message):
        optimizer_of(kind(), nn.Linear(1, 1))
