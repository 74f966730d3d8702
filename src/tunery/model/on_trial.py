"""A few forward passes of a model that leave nothing behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import nn

from tunery.model.peft.library_warnings import without_noise

FAILURES: Final = (
    ValueError,
    TypeError,
    RuntimeError,
    LookupError,
    AttributeError,
    AssertionError,
    NotImplementedError,
)
"""What architectures raise where they cannot take what they get."""


_WITHOUT_POSITIONS: Final = "Position ids are not supported"
"""How the library's warning begins that virtual tokens and texts in one row do not go together, which is looked at."""


@contextmanager
def on_trial(model: nn.Module) -> Iterator[None]:
    """Within, the model is in eval mode for a few forward passes; modes and random state are as before afterwards."""
    modes = {module: module.training for module in model.modules()}
    with torch.no_grad(), torch.random.fork_rng(devices=()), without_noise(_WITHOUT_POSITIONS):
        model.eval()
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode
