"""Warnings of the peft library that a user can do nothing about."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_HARMLESS = (
    "`is_gradient_checkpointing` is deprecated",  # a property that peft reads and transformers 5.23 renamed
    "Failed to load the CUDA extension",  # BOFT then computes the same without it
    r"Unsupported layer type '<class '[\w.]*Norm'>'",  # it asks every layer for its width, and needs none of a norm
    "Setting boft_n_butterfly_factor to 1",  # which is its default
)
"""How they begin."""


@contextmanager
def without_noise(*more: str) -> Iterator[None]:
    """Keep them from the user, and `more` of them."""
    with warnings.catch_warnings():
        for beginning in (*_HARMLESS, *more):
            warnings.filterwarnings("ignore", message=beginning)
        yield
