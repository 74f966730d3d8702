"""A computation on tensors without content: which of them are there at once, and how many bytes that is.

Fake tensors have a shape, a type and a device, and torch's own rules say what each operation makes of them and what it
keeps for the backward pass. So nothing is computed and nothing is allocated, whatever the size of the model.
"""

import copy
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, final

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_ITEM: Final = torch.ops.aten._local_scalar_dense.default
"""Asks a tensor for its only number."""


@final
class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the storages that are made while it is entered, from the operation that makes one until nothing refers to
    it. Views are no storages of their own, and results in place make none."""

    def __init__(self, *, known: Iterable[Tensor] = ()) -> None:
        """Args:
        known: tensors that are there already and do not count.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self.attention: set[str] = set()
        """Names of the fused attention kernels that were asked for."""
        self._sizes: dict[int, int] = {}
        for tensor in known:
            self._watch(tensor, size=0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by torch for every operation."""
        if func is _ITEM and args[0].dtype is torch.bool:
            return False  # "is nothing padded", "is anything global": the answer that takes the general way
        made = func(*args, **(kwargs or {}))
        if "scaled_dot_product" in (name := str(func)) and "backward" not in name:
            self.attention.add(name.removeprefix("aten.").split(".")[0])
        for tensor in tree_leaves(made):
            if isinstance(tensor, FakeTensor):
                self._watch(tensor)
        return made

    def _watch(self, tensor: Tensor, *, size: int | None = None) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes() if size is None else size
        self.now += self._sizes[key]
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, key)

    def _release(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


def fake_copy(module: nn.Module, mode: FakeTensorMode, device: torch.device) -> nn.Module:
    """A module of the same structure, whose parameters and buffers are fake tensors on `device`; that of `module` may
    be real, or have no memory (`meta`)."""
    memo: dict[int, Any] = {}

    def fake(tensor: Tensor) -> Tensor:
        made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
        return made

    with mode:
        for parameter in module.parameters():
            memo[id(parameter)] = nn.Parameter(fake(parameter), requires_grad=parameter.requires_grad)
        for buffer in module.buffers():
            memo[id(buffer)] = fake(buffer)
    return copy.deepcopy(module, memo)


def bytes_at_once(mode: FakeTensorMode, known: Iterable[Tensor], work: Callable[[], object]) -> LiveBytes:
    """What was alive while `work` ran on fake tensors, beside those that are `known`."""
    live = LiveBytes(known=known)
    with mode, live:
        work()
    return live
