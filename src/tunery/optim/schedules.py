"""From schedule specs to curves: a factor on the peak learning rate for every step."""

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from tunery.errors import ConfigError, Problem
from tunery.schema import schedule as schema

CURVES: dict[type[Any], Callable[[float], float]] = {
    schema.Linear: lambda progress: 1.0 - progress,
    schema.Cosine: lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
    schema.Constant: lambda progress: 1.0,
}
"""Factor after the warm-up, by the share (0 to 1) of the remaining steps that is done."""


def warmup_steps(warmup: float, *, total: int) -> int:
    """Steps of warm-up; below 1 `warmup` is a share of `total`.

    Raises:
        ConfigError: when the warm-up is not shorter than the training.
    """
    steps = math.ceil(warmup * total) if warmup < 1 else round(warmup)
    if warmup >= 1 and steps >= total:
        message = (
            f"the warm-up must be shorter than the training, but got {steps} of {total} steps; lower it or train longer"
        )
        raise ConfigError([Problem("schedule.warmup", message)])
    return steps


def factor(spec: schema.Schedule, step: int, *, warmup: int, total: int) -> float:
    """Factor on the peak learning rate at `step` (0-based) of `total`."""
    if step < warmup:
        return step / warmup
    return CURVES[type(spec)](min(1.0, (step - warmup) / max(1, total - warmup)))


def make_schedule(spec: schema.Schedule, optimizer: Optimizer, *, total: int) -> LambdaLR:
    """The schedule of `spec` over `total` optimizer steps."""
    warmup = warmup_steps(spec.warmup, total=total)
    return LambdaLR(optimizer, lambda step: factor(spec, step, warmup=warmup, total=total))
