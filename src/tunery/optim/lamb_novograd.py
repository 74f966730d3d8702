"""Optimizers that measure whole tensors: the length of a step, or of a gradient."""

from abc import ABC, abstractmethod
from typing import Any, final

import torch
from torch import Tensor
from torch.optim import Optimizer


class PerTensor(Optimizer, ABC):
    """Moves every tensor that has a gradient by itself; gradients are left as they are.

    Args:
        groups: torch's parameter groups, each with `lr` and `weight_decay`.
        betas: decay rates of the two moment estimates.
        eps: added to the root of the second moment.
    """

    def __init__(self, groups: list[dict[str, Any]], *, betas: tuple[float, float], eps: float) -> None:
        super().__init__(groups, {"betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move the parameters once; there is no line search, so no closure."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, state=self.state[parameter], group=group)

    @abstractmethod
    def _move(self, parameter: Tensor, gradient: Tensor, *, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Move one tensor and its state, which is empty at first, by the settings of its group."""


@final
class Lamb(PerTensor):
    """Adam whose step in each tensor is as long as the tensor times the learning rate (You et al. 2020, arXiv
    1904.00962, algorithm 2, with the identity for its scaling function).

    A tensor that is zero, or whose step is, moves by the unscaled step, as in the authors' code: LoRA's B, biases
    and adapters start at zero and could never leave it otherwise.
    """

    def _move(self, parameter: Tensor, gradient: Tensor, *, state: dict[str, Any], group: dict[str, Any]) -> None:
        betas = group["betas"]
        if not state:
            state.update(step=0, mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter))
        state["step"] += 1
        mean = state["mean"].lerp_(gradient, 1 - betas[0])
        square = state["square"].mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
        first, second = (1 - beta ** state["step"] for beta in betas)
        update = (mean / first).div_((square / second).sqrt_().add_(group["eps"]))
        update.add_(parameter, alpha=group["weight_decay"])
        length, step = torch.linalg.vector_norm(parameter), torch.linalg.vector_norm(update)
        # chosen on the device: a branch would make it wait for every tensor
        trust = torch.where((length > 0) & (step > 0), length / step, 1.0)
        parameter.sub_(update.mul_(trust), alpha=group["lr"])


@final
class NovoGrad(PerTensor):
    """Momentum over gradients that are divided by a running estimate of their length in each tensor (Ginsburg et al.
    2019, arXiv 1905.11286, algorithm 1); weight decay is added to the divided gradient."""

    def _move(self, parameter: Tensor, gradient: Tensor, *, state: dict[str, Any], group: dict[str, Any]) -> None:
        square = gradient.square().sum()
        if not state:
            state.update(square=square, momentum=torch.zeros_like(parameter))
        else:
            state["square"].lerp_(square, 1 - group["betas"][1])
        update = (gradient / (state["square"].sqrt() + group["eps"])).add_(parameter, alpha=group["weight_decay"])
        parameter.sub_(state["momentum"].mul_(group["betas"][0]).add_(update), alpha=group["lr"])
