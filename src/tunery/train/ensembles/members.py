"""Trials of a study as members of an ensemble: their weights, and what they answer on validation."""

import gc
from collections.abc import Hashable
from dataclasses import dataclass
from typing import final

import torch

from tunery.data.row_table import RowTable
from tunery.model.build import Built
from tunery.train.artifacts.restore import StoredWeights
from tunery.train.artifacts.verify import ROWS


@final
@dataclass(frozen=True)
class Member:
    """A trial whose weights are kept, and its answers."""

    trial: int
    weights: StoredWeights
    answers: RowTable
    """On all validation rows."""
    probes: RowTable
    """On the first of them, in fp32."""
    shape: Hashable | None
    """Equal for members whose weights have the same base, names and shapes; None without a neural network."""


def member_of(trial: int, weights: StoredWeights) -> Member:
    """Restore a trial's model, ask it about validation, and let it go: one model is in memory at a time.

    Raises:
        RequestError: when data or base are not what they were.
        Damaged: when the weights are missing or not what was written.
    """
    model = weights.restore()
    rows = model.prepared.splits.validation.examples
    answers, probes = model.network.answers(rows), model.network.answers(rows[:ROWS], precision="fp32")
    shape = None if model.built is None else _shape(model.built)
    del model
    gc.collect()  # models are full of cycles
    torch.cuda.empty_cache()
    return Member(trial, weights, answers, probes, shape)


def _shape(built: Built) -> Hashable:
    parameters = dict(built.module.named_parameters())
    return built.base_digest, tuple((name, tuple(parameters[name].shape)) for name in sorted(built.trainable))
