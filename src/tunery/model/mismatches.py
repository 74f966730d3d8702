"""How saved tensors differ from the parameters that they are to be put into."""

from collections.abc import Mapping, Set

from torch import Tensor


def mismatches(parameters: Mapping[str, Tensor], state: Mapping[str, Tensor], *, needed: Set[str]) -> list[str]:
    """What is wrong with saved tensors, in words; empty where nothing is.

    Args:
        parameters: those that `state` may hold.
        needed: names of those that it must hold.
    """
    missing = [f"{name} is missing" for name in sorted(needed - state.keys())]
    unknown = [f"{name} is unknown" for name in sorted(state.keys() - parameters.keys())]
    shapes = [
        f"{name} has shape {tuple(state[name].shape)} and not {tuple(parameters[name].shape)}"
        for name in sorted(state.keys() & parameters.keys())
        if state[name].shape != parameters[name].shape
    ]
    return [*missing, *unknown, *shapes]
