"""Which way a metric is better."""

from collections.abc import Mapping
from typing import Literal

Direction = Literal["maximize", "minimize"]

Metrics = Mapping[str, Direction]
"""Scalar metrics of a task; the first is the default objective. `loss` is among them."""
