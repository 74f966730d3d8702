"""How many parameters our own methods train, counted from the widths of a model alone."""

from collections.abc import Mapping
from typing import Any

import torch

from tunery.schema.config.peft import BitFit, Bottleneck, Compacter, Houlsby, Pfeiffer

HIDDEN, WIDE, LAYERS = 32, 64, 2
"""Widths and depth of the tiny models."""


def pfeiffer_size(spec: Pfeiffer, base: Mapping[str, torch.Tensor], **widths: int) -> int:
    """One adapter per layer."""
    return layers(**widths) * linear_size(spec, **widths)


def houlsby_size(spec: Houlsby, base: Mapping[str, torch.Tensor], **widths: int) -> int:
    """Two adapters per layer, whether after their blocks or beside them."""
    return 2 * layers(**widths) * linear_size(spec, **widths)


def compacter_size(spec: Compacter, base: Mapping[str, torch.Tensor], **widths: int) -> int:
    """Two adapters per layer, and n matrices of n times n for all of them (Karimi Mahabadi et al. 2021, section 4)."""
    n, rank, hidden = spec.phm_dim, spec.phm_rank, widths.get("hidden", HIDDEN)
    one_layer = n * rank * (hidden // n + spec.bottleneck // n)
    adapter = 2 * one_layer + spec.bottleneck + hidden
    return n**3 + 2 * layers(**widths) * adapter


def bitfit_size(spec: BitFit, base: Mapping[str, torch.Tensor], **widths: Any) -> int:
    """BERT's: four of attention, two of the feed-forward block, two norms; the norm of the embeddings; the pooler."""
    per_layer = 4 * HIDDEN + WIDE + HIDDEN + 2 * HIDDEN
    pooler = HIDDEN if any("pooler" in name for name in base) else 0
    return LAYERS * per_layer + HIDDEN + pooler


def linear_size(spec: Bottleneck, *, hidden: int = HIDDEN, depth: int = LAYERS) -> int:
    """Two matrices and their biases."""
    return 2 * hidden * spec.bottleneck + spec.bottleneck + hidden


def layers(*, hidden: int = HIDDEN, depth: int = LAYERS) -> int:
    """Layers that get adapters."""
    return depth
