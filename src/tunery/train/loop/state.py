"""The state of optimizers, schedules and random generators as a JSON document and named tensors: exactly, no pickle."""

import math
import random
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, Final, NamedTuple, final

import numpy as np
import torch
from torch import Tensor, nn

from tunery.errors import RunError

_KEYS: Final = (str, int)

STORABLE: Final = frozenset(
    {
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    }
)
"""Types of numbers that a tensor of a state may have."""


class Packed(NamedTuple):
    """A tree of plain values and tensors, taken apart."""

    document: Any
    """What JSON can hold; whatever it cannot is an object with one key that says how to read it."""
    tensors: dict[str, Tensor]
    """By their path in the tree, on the CPU. They may be the live ones: store them before the next step."""


def pack(tree: Any, *, name: str) -> Packed:
    """Take apart what consists of None, booleans, numbers, text, lists, tuples, dicts and tensors.

    Args:
        tree: what a `state_dict` returns.
        name: of the tree; the names of the tensors begin with it.

    Raises:
        RunError: something is of another type: it would not come back as it was.
    """
    packer = _Packer()
    return Packed(packer.document(tree, name), packer.tensors)


def unpack(document: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that was taken apart: types, keys, numbers and tensors are what they were."""
    if isinstance(document, list):
        return [unpack(value, tensors) for value in document]
    if not isinstance(document, dict):
        return document
    ((kind, content),) = document.items()
    return _UNPACK[kind](content, tensors)


_UNPACK: Final[dict[str, Callable[[Any, Mapping[str, Tensor]], Any]]] = {
    "float": lambda content, tensors: float(content),
    "tuple": lambda content, tensors: tuple(unpack(value, tensors) for value in content),
    "dict": lambda content, tensors: {key: unpack(value, tensors) for key, value in content},
    "tensor": lambda content, tensors: tensors[content],
}


@final
class _Packer:
    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._seen: dict[int, str] = {}
        self._pack: dict[type, Callable[[Any, str], Any]] = {
            **dict.fromkeys((NoneType, bool, int, str), lambda value, path: value),
            float: lambda value, path: value if math.isfinite(value) else {"float": str(value)},
            list: self._list,
            tuple: lambda value, path: {"tuple": self._list(value, path)},
            dict: self._dict,
            Tensor: self._tensor,
            nn.Parameter: self._tensor,
        }

    def document(self, value: Any, path: str) -> Any:
        """`value` as the document has it. Types are compared exactly: a subclass would not come back."""
        if type(value) not in self._pack:
            raise _not_storable(path, f"is of type {type(value).__name__}")
        return self._pack[type(value)](value, path)

    def _list(self, values: Any, path: str) -> list[Any]:
        return [self.document(value, f"{path}[{index}]") for index, value in enumerate(values)]

    def _dict(self, values: dict[Any, Any], path: str) -> dict[str, Any]:
        """Pairs, because the keys of JSON are text."""
        for key in values:
            if type(key) not in _KEYS:
                raise _not_storable(path, f"has the key {key!r}")
        return {"dict": [[key, self.document(value, f"{path}[{key!r}]")] for key, value in values.items()]}

    def _tensor(self, value: Tensor, path: str) -> dict[str, str]:
        """A tensor that is in several places of the tree (bitsandbytes has such tables) is stored once."""
        if id(value) not in self._seen:
            if value.layout is not torch.strided or value.is_meta or value.dtype not in STORABLE:
                raise _not_storable(path, f"is a tensor of {value.dtype}, {value.layout}, on {value.device}")
            self._seen[id(value)] = path
            self.tensors[path] = value.detach().cpu().contiguous()
        return {"tensor": self._seen[id(value)]}


def _not_storable(path: str, what: str) -> RunError:
    rule = "a resume point holds None, numbers, text, lists, tuples, dicts and dense tensors"
    return RunError(f"{rule}, but {path} {what}; `checkpoint.keep_last: 0` trains without resume points")


def random_state() -> dict[str, Any]:
    """The global random generators of Python, numpy, torch and every CUDA device."""
    kind, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (kind, np.asarray(keys).tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Put the generators back; of the CUDA devices, those that are there."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    for device, of_device in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
        torch.cuda.set_rng_state(of_device, device)
