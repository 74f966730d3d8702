"""The schedules as numbers: a factor on the peak learning rate for every step. Knows no torch, so that `tunery schema`
can draw them at once."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, final

from tunery.errors import ConfigError, Problem
from tunery.schema.config import schedule as schema
from tunery.schema.results.direction import Direction, minimized


@final
@dataclass(frozen=True)
class StepAfterWarmup:
    """How far a step is from the end of the warm-up to that of the training."""

    done: int
    """Steps since the end of the warm-up."""
    left: int
    """Steps from the end of the warm-up to that of the training, at least 1."""
    steps_per_epoch: int

    @property
    def share(self) -> float:
        """Share (0 to 1) that is done."""
        return self.done / self.left


def half_cosine(share: float) -> float:
    """From 1 at 0 down to 0 at 1 (Loshchilov & Hutter 2017, arXiv 1608.03983, equation 5)."""
    return 0.5 * (1.0 + math.cos(math.pi * share))


def restarting_cosine(step: StepAfterWarmup, *, cycles: int, growth: float) -> float:
    """Half cosines one after the other, each `growth` times as long as the one before; 0 at the very end.

    Steps are compared in units of the first cycle times `left`, whole numbers for a whole `growth`, so that a cycle
    begins exactly at its step (section 3 of the same paper).
    """
    if step.done >= step.left:
        return 0.0
    lengths = [step.left * growth**cycle for cycle in range(cycles)]
    passed = step.done * sum(lengths) / step.left
    for length in lengths[:-1]:
        if passed < length:
            return half_cosine(passed / length)
        passed -= length
    return half_cosine(passed / lengths[-1])


def one_cycle(step: StepAfterWarmup, *, rise: float, start: float, end: float) -> float:
    """From `start` to 1 in the first `rise` of all steps, then to `end`, both along half a cosine.

    The first step is at `start`, the last at `end`, and the peak where the rise has taken its share of the steps, the
    first one included; a rise of less than two steps begins at the peak (Smith & Topin 2018, arXiv 1708.07120).
    """
    last, peak = step.left - 1, rise * step.left - 1.0
    if step.done < peak:
        return _between(1.0, start, half_cosine(step.done / peak))
    peak = max(0.0, peak)
    fallen = min(1.0, (step.done - peak) / (last - peak)) if last > peak else 0.0
    return _between(end, 1.0, half_cosine(fallen))


def _between(low: float, high: float, share: float) -> float:
    """`low` at 0 and `high` at 1, both exactly."""
    return (1.0 - share) * low + share * high


def _one_cycle(spec: schema.OneCycle, step: StepAfterWarmup) -> float:
    start = 1.0 / spec.div_factor
    return one_cycle(step, rise=spec.pct_start, start=start, end=start / spec.final_div_factor)


CURVES: Final[dict[type[Any], Callable[[Any, StepAfterWarmup], float]]] = {
    **dict.fromkeys((schema.NoSchedule, schema.Constant, schema.ConstantWarmup), lambda spec, step: 1.0),
    schema.Linear: lambda spec, step: 1.0 - step.share,
    schema.Cosine: lambda spec, step: half_cosine(step.share),
    schema.CosineRestart: lambda spec, step: restarting_cosine(step, cycles=spec.num_cycles, growth=spec.T_mult),
    schema.Polynomial: lambda spec, step: float((1.0 - step.share) ** spec.power),
    schema.Exponential: lambda spec, step: float(spec.gamma ** (step.done / step.steps_per_epoch)),
    schema.OneCycle: _one_cycle,
}
"""Factor on the peak after the warm-up, for each schedule that is known before the training."""

_ROUNDING: Final = 1e-9
"""7 % of 100 steps are 7.000000000000001 in floating point, and should be 7."""


def warmup_steps(spec: schema.Schedule, *, total: int) -> int:
    """Steps of warm-up in a training of `total` steps; 0 for a schedule that has none.

    A share is rounded up, but leaves one step at the peak.

    Raises:
        ConfigError: when a number of steps is not smaller than `total`.
    """
    if not isinstance(spec, schema.WarmedUp):
        return 0
    if spec.warmup < 1:
        return min(math.ceil(spec.warmup * total - _ROUNDING), total - 1)
    steps = int(spec.warmup)
    if steps >= total:
        rule = "the warm-up must be shorter than the training, but got"
        raise ConfigError([Problem("schedule.warmup", f"{rule} {steps} of {total} steps; lower it or train longer")])
    return steps


def rising(step: int, *, warmup: int) -> float:
    """The warm-up: a straight line from 0 at step 0 to 1 at step `warmup`, and 1 from there on."""
    return min(1.0, step / warmup) if warmup else 1.0


def factor(spec: schema.Schedule, step: int, *, warmup: int, total: int, steps_per_epoch: int) -> float:
    """Factor on the peak learning rate at `step` (0-based) of `total`; `warmup` steps rise to the peak first."""
    if step < warmup:
        return rising(step, warmup=warmup)
    after_warmup = StepAfterWarmup(min(step, total) - warmup, max(1, total - warmup), steps_per_epoch)
    return CURVES[type(spec)](spec, after_warmup)


@final
class PlateauRule:
    """Counts how often the learning rate must fall: once more each time that more than `patience` epochs in a row bring
    no improvement of more than `threshold`."""

    def __init__(self, *, direction: Direction, patience: int, threshold: float) -> None:
        self._direction = direction
        self._patience = patience
        self._threshold = threshold
        self.best = -math.inf
        """Best value so far, with the sign changed where less is better."""
        self.bad_epochs = 0
        self.reductions = 0

    def observe(self, value: float | None) -> None:
        """Take in the value of one epoch; none and NaN are no improvement."""
        signed = -minimized(value, self._direction) if value is not None else -math.inf
        if signed > self.best + self._threshold:
            self.best, self.bad_epochs = signed, 0
            return
        self.bad_epochs += 1
        if self.bad_epochs > self._patience:
            self.bad_epochs, self.reductions = 0, self.reductions + 1

    def state(self) -> dict[str, float]:
        """What `load` needs to go on."""
        return {"best": self.best, "bad_epochs": self.bad_epochs, "reductions": self.reductions}

    def load(self, state: dict[str, float]) -> None:
        """Go on from a `state`."""
        self.best = state["best"]
        self.bad_epochs, self.reductions = int(state["bad_epochs"]), int(state["reductions"])
