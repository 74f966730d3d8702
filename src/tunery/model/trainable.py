"""What was trained: counting it, taking it out, putting it back. What requires a gradient decides, never a name."""

from collections.abc import Mapping

import torch
from torch import Tensor

from tunery.errors import ModelError, enumerated
from tunery.model.backbones.quantization import true_sizes
from tunery.model.build import Built
from tunery.model.mismatches import mismatches
from tunery.model.peft.library_models import original_parameters
from tunery.schema.results.run import Parameters

_SHOWN = 5
"""Differences that are listed."""


def count_parameters(built: Built) -> Parameters:
    """Trained parameters, and all that a forward pass reads (the originals of what peft trains a copy of left out)."""
    sizes, originals = true_sizes(built.module), original_parameters(built.module)
    trainable = sum(sizes[name] for name in built.trainable)
    total = sum(sizes[name] for name, parameter in built.module.named_parameters() if parameter not in originals)
    return Parameters(
        trainable=trainable,
        total=total,
        percent=100 * trainable / total,
        fresh=sum(sizes[name] for name in built.roles.head),
        frozen_in_eval=built.frozen_in_eval,
        ranks=built.rank_allocator.ranks() if built.rank_allocator else None,
    )


def trainable_state(built: Built) -> dict[str, Tensor]:
    """Copies of the trained parameters, on the CPU and contiguous."""
    parameters = dict(built.module.named_parameters())
    return {name: parameters[name].detach().to("cpu", copy=True).contiguous() for name in sorted(built.trainable)}


def load_trainable(built: Built, state: Mapping[str, Tensor]) -> None:
    """Put trained parameters back.

    Raises:
        ModelError: a name is missing or unknown, or a shape differs; nothing was changed.
    """
    parameters = {name: parameter for name, parameter in built.module.named_parameters() if name in built.trainable}
    if problems := mismatches(parameters, state, needed=parameters.keys()):
        rule = "saved parameters must be exactly those the config trains"
        shown = enumerated(problems, _SHOWN, letters=200, separator="; ")
        raise ModelError(f"{rule}, but {shown}. Was it saved with another config?")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(state[name])
