"""The pretrained values of what is trained, read from the base again: trained weights are stored as what differs."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from tunery.errors import ModelError
from tunery.model.backbones.backbone import base_digest
from tunery.model.backbones.quantization import true_sizes
from tunery.model.build import Built, load_base
from tunery.model.peft.method import plain_name
from tunery.schema.config.model import Model
from tunery.schema.config.task import Outputs

WORTH_IT = 0.25
"""Share of the model that must be pretrained and trained. Below it (adapters, biases, a few layers) the tensors take
little room as they are, and reading the base again would cost more than it saves."""


def reference_of(built: Built, *, spec: Model, outputs: Outputs) -> Callable[[], dict[str, Tensor]] | None:
    """Gives the pretrained values when called, from the second time on at once; None where it is not worth it.

    Where the base is a safetensors file, the values are mapped and not copied: to hold them takes no memory that the
    system could not have back.
    """
    sizes = true_sizes(built.module)
    trained = sum(sizes[name] for name in _pretrained(built))
    if trained < WORTH_IT * sum(sizes.values()):
        return None
    return cache(lambda: pretrained_state(built, spec=spec, outputs=outputs))


def pretrained_state(built: Built, *, spec: Model, outputs: Outputs) -> dict[str, Tensor]:
    """The values that the trained parameters had before training, on the CPU, by their names in `built.trainable`.

    Heads, adapters and what the checkpoint lacks are left out: they had none. No random state moves.

    Raises:
        ModelError: when the base on disk is not the one that was built on.
    """
    if (now := base_digest(built.base)) != built.base_digest:
        raise ModelError(
            f"{built.base.name!r} must stay as it was when the run began, but its weights are {now} now and were "
            f"{built.base_digest} then; put them back"
        )
    with torch.random.fork_rng(devices=()):
        loaded, _ = load_base(spec, base=built.base, outputs=outputs)
    values = dict(loaded.model.named_parameters())
    return {name: values[plain_name(name).removeprefix(built.prefix)].detach() for name in _pretrained(built)}


def _pretrained(built: Built) -> frozenset[str]:
    return built.trainable - built.roles.head - built.roles.adapter
