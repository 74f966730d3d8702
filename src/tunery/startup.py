"""What a process of tunery's own does before it computes anything. Imports nothing heavy."""

import gc
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Final

_WAITING: Final = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables that say what a thread does while it waits for the others of its team: OpenMP's own, that of GNU's library
and that of Intel's and LLVM's."""


def set_wait_policy(environment: MutableMapping[str, str]) -> None:
    """Have threads of OpenMP sleep while they wait, unless something is said about it already.

    By default they spin, for milliseconds in each of the hundreds of operations of a step: two processes with as many
    threads as there are cores then take the cores from each other for nothing. It is read when torch is loaded.
    """
    if not any(name in environment for name in _WAITING):
        environment["OMP_WAIT_POLICY"] = "passive"


def with_wait_policy(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that this one starts."""
    given = dict(environment)
    set_wait_policy(given)
    return given


@contextmanager
def without_collection() -> Iterator[None]:
    """Within, many objects are made and none is garbage: to look for some again and again takes a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def imports() -> Iterator[None]:
    """Import within, in a process that does nothing else yet: what is there afterwards stays as long as the process, so
    that no collection looks at it again."""
    with without_collection():
        yield
    gc.freeze()
