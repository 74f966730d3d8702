"""From schedule specs to schedules that move the rates of an optimizer."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, final

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tunery.optim.curves import CURVES, PlateauRule, factor, rising, warmup_steps
from tunery.schema.config import schedule as schema
from tunery.schema.results.direction import Direction


class Schedule(LRScheduler, ABC):
    """What `train` moves: `step` after every optimizer step, `observe` after every epoch."""

    @abstractmethod
    def get_lr(self) -> list[Any]:
        """The rates at step `last_epoch`, one per group."""

    def observe(self, value: float | None) -> None:
        """Take in the objective on validation; a schedule that is known before the training does not look at it."""

    def state_dict(self) -> dict[str, Any]:
        """The step; the rest comes from the config."""
        return {"step": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state of `state_dict`."""
        self.last_epoch = state_dict["step"]
        self._step_count = self.last_epoch + 1  # the base class counts its call at the start


@final
class Untouched(Schedule):
    """Leaves the rates to the optimizer and reports those that it has now."""

    def get_lr(self) -> list[Any]:
        """The rates of the groups, as they are."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[Any]:
        """The same: an optimizer may have set them in its last step."""
        return self.get_lr()


class Scaled(Schedule, ABC):
    """Every group at its own peak rate times one factor, at once after `step` and `load_state_dict`."""

    @abstractmethod
    def factor(self) -> float:
        """Factor on the peak at step `last_epoch`."""

    def get_lr(self) -> list[Any]:
        """The peaks times the factor."""
        now = self.factor()
        return [peak * now for peak in self.base_lrs]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state of `state_dict`."""
        super().load_state_dict(state_dict)
        self._apply()

    def _apply(self) -> None:
        self._last_lr = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate


@final
class Curve(Scaled):
    """A curve over steps that is known before the training."""

    def __init__(self, optimizer: Optimizer, *, curve: Callable[[int], float]) -> None:
        self._curve = curve
        super().__init__(optimizer)

    def factor(self) -> float:
        """The curve at this step."""
        return self._curve(self.last_epoch)


@final
class Plateau(Scaled):
    """Up to the peak, then lower by a factor whenever a metric has not improved for some epochs."""

    def __init__(self, optimizer: Optimizer, *, warmup: int, reduction: float, rule: PlateauRule) -> None:
        self._warmup = warmup
        self._reduction = reduction
        self._rule = rule
        super().__init__(optimizer)

    def factor(self) -> float:
        """The warm-up at this step, reduced as often as the rule says."""
        return float(rising(self.last_epoch, warmup=self._warmup) * self._reduction**self._rule.reductions)

    def observe(self, value: float | None) -> None:
        """Take in the objective on validation after an epoch; a lower rate holds from the next step on."""
        self._rule.observe(value)
        self._apply()

    def state_dict(self) -> dict[str, Any]:
        """The step, and what the rule has seen."""
        return {**super().state_dict(), **self._rule.state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state of `state_dict`."""
        self._rule.load(state_dict)
        super().load_state_dict(state_dict)


def _curve(
    spec: schema.Schedule, optimizer: Optimizer, *, total: int, steps_per_epoch: int, direction: Direction
) -> Schedule:
    warmup = warmup_steps(spec, total=total)

    def at(step: int) -> float:
        return factor(spec, step, warmup=warmup, total=total, steps_per_epoch=steps_per_epoch)

    return Curve(optimizer, curve=at)


def _plateau(
    spec: schema.ReducePlateau, optimizer: Optimizer, *, total: int, steps_per_epoch: int, direction: Direction
) -> Schedule:
    rule = PlateauRule(direction=direction, patience=spec.patience, threshold=spec.threshold)
    return Plateau(optimizer, warmup=warmup_steps(spec, total=total), reduction=spec.factor, rule=rule)


SCHEDULES: Final[dict[type[Any], Callable[..., Schedule]]] = {
    **dict.fromkeys(CURVES, _curve),
    schema.NoSchedule: lambda spec, optimizer, **_: Untouched(optimizer),
    schema.ReducePlateau: _plateau,
}


def make_schedule(
    spec: schema.Schedule, optimizer: Optimizer, *, total: int, steps_per_epoch: int, direction: Direction
) -> Schedule:
    """The schedule of `spec` over `total` optimizer steps; `direction` is which way the objective gets better.

    Raises:
        ConfigError: when the warm-up is not shorter than the training.
    """
    return SCHEDULES[type(spec)](spec, optimizer, total=total, steps_per_epoch=steps_per_epoch, direction=direction)
