"""State as JSON and tensors: what comes back is what went in, to the last bit and type; anything else is refused."""

import json
import math
import random
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import Optimizer

from fast_and_slow import examples
from tunery.errors import RunError
from tunery.optim.groups import LearningRates, Roles
from tunery.optim.optimizers import OPTIMIZERS, PAGED, make_optimizer
from tunery.store.objects.objects import Objects
from tunery.train.loop.state import STORABLE, pack, random_state, restore_random_state, unpack

WHOLE = sorted((kind for kind in STORABLE if not kind.is_floating_point), key=str)
BROKEN = sorted((kind for kind in STORABLE if kind.is_floating_point), key=str)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    kind, shape = draw(st.sampled_from([*WHOLE, *BROKEN])), draw(st.lists(st.integers(0, 3), max_size=3))
    values = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99)))).to(kind)
    return values / draw(st.sampled_from([3, 0])) if kind.is_floating_point else values


def trees() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | tensors()
    keys = st.text() | st.integers()
    return st.recursive(
        leaves, lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner), max_leaves=20
    )


def through_files(tree: Any, folder: Path) -> Any:
    packed = pack(tree, name="state")
    objects = Objects(folder)
    text = json.dumps(packed.document, allow_nan=False)
    return unpack(json.loads(text), objects.get(objects.put(packed.tensors, compress=False).digest))


def same(one: Any, other: Any) -> bool:
    """Equal in type, structure and bits; NaN is NaN, and 0.0 is not -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        keys = [*map(same, one, other)]
        return len(one) == len(other) and all(keys) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, Tensor):
        bits = [part.contiguous().reshape(-1).view(torch.uint8) for part in (one, other)]
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(*bits)
    return bool(one == other)


@examples(2)
@given(tree=trees())
def test_every_tree_comes_back_as_it_was(tree: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert same(through_files(tree, tmp_path_factory.getbasetemp() / "trees"), tree)


def test_keys_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    one, two = torch.tensor(1), torch.tensor(2)
    for tree in ({0: one, "0": two}, {"a']['b": one, "a": {"b": two}}, {"a": [one], "a[0]": two}, {"a.b": one}):
        assert same(through_files(tree, tmp_path), tree)


def test_a_tensor_in_two_places_is_stored_once_and_views_are_stored_as_they_are(tmp_path: Path) -> None:
    table = torch.arange(256.0)
    tree = {"a": {"table": table}, "b": {"table": table, "half": table[::2]}}
    assert list(pack(tree, name="state").tensors) == ["state['a']['table']", "state['b']['half']"]
    back = through_files(tree, tmp_path)
    assert same(back, tree) and back["a"]["table"] is back["b"]["table"]


def test_what_has_a_gradient_is_stored_without_it(tmp_path: Path) -> None:
    back = through_files(nn.Parameter(torch.ones(2)), tmp_path)
    assert type(back) is Tensor and not back.requires_grad


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ({1, 2}, "is of type set"),
        (b"x", "is of type bytes"),
        (np.float64(1), "is of type float64"),
        (OrderedDict(), "is of type OrderedDict"),
        (torch.Size([1]), "is of type Size"),
        (random.Random, "is of type ABCMeta|is of type type"),
        ({1.5: 0}, r"has the key 1\.5"),
        ({True: 0}, "has the key True"),
        (torch.ones(2, dtype=torch.complex64), "is a tensor of torch.complex64"),
        (torch.ones(2).to_sparse(), "torch.sparse_coo"),
        (torch.empty(2, device="meta"), "on meta"),
    ],
)
def test_anything_else_is_refused_by_its_place(bad: Any, what: str) -> None:
    with pytest.raises(RunError, match=rf"but state\['x'\]\[1\] (.*{what}.*); `checkpoint.keep_last: 0`"):
        pack({"x": [0, bad]}, name="state")


def test_random_generators_draw_again_what_they_drew(tmp_path: Path) -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    np.random.standard_normal()  # numpy holds the second of a pair of normal numbers back
    random.gauss()
    state = through_files(random_state(), tmp_path)

    def draw() -> list[Any]:
        return [random.gauss(), random.random(), *np.random.standard_normal(3), *torch.rand(3).tolist()]

    first = draw()
    restore_random_state(state)
    assert draw() == first


KINDS = [
    pytest.param(
        kind,
        id=kind().name,  # type: ignore[call-arg]
        marks=[pytest.mark.skipif(not torch.cuda.is_available(), reason="paged state")] if kind in PAGED else [],
    )
    for kind in OPTIMIZERS
]


def stepped(spec: Any, module: nn.ParameterDict, steps: int, *, optimizer: Optimizer | None = None) -> Optimizer:
    roles = Roles((), (), (), (), lr_scale={}, depth_of=lambda name: 1, layers=1)
    optimizer = optimizer or make_optimizer(
        spec, module, rates=LearningRates(0.02, 0.02, 0.02), roles=roles, loss=nn.Identity()
    )
    for _ in range(steps):
        for part in module.values():
            part.grad = (part.detach() + 0.1).sin()
        optimizer.step()
    return optimizer


def module_for(kind: Any) -> nn.ParameterDict:
    """One tensor is large enough for states of 8 bits."""
    torch.manual_seed(0)
    device = "cuda" if kind in PAGED else "cpu"
    parts = {"matrix": torch.randn(64, 64), "other": torch.randn(70, 64), "bias": torch.randn(5)}
    return nn.ParameterDict(parts).to(device)


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_of_every_optimizer_comes_back_bit_for_bit(kind: Any, tmp_path: Path) -> None:
    module = module_for(kind)
    optimizer = stepped(kind(), module, 3)
    state = through_files(optimizer.state_dict(), tmp_path)
    assert same(state, pack_free(optimizer.state_dict()))

    other = module_for(kind)
    with torch.no_grad():
        for name, part in other.items():
            part.copy_(module[name])
    fresh = stepped(kind(), other, 0)
    fresh.load_state_dict(state)
    stepped(kind(), module, 3, optimizer=optimizer)
    stepped(kind(), other, 3, optimizer=fresh)
    assert all(torch.equal(module[name], other[name]) for name in module)


def pack_free(tree: Any) -> Any:
    """The same on the CPU."""
    if isinstance(tree, dict):
        return {key: pack_free(value) for key, value in tree.items()}
    return tree.cpu() if isinstance(tree, Tensor) else tree


def test_the_state_of_a_loss_scaler_comes_back(tmp_path: Path) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**7)
    scaler.scale(torch.ones(1))
    other = torch.amp.GradScaler("cpu")
    other.load_state_dict(through_files(scaler.state_dict(), tmp_path))
    assert other.state_dict() == scaler.state_dict()
