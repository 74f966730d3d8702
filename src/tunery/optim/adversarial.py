"""Adversarial training: what the token embeddings put out is perturbed against the model.

The weights are never touched: a forward hook adds the perturbation, and it is there only while a micro-batch is run.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn

from tunery.errors import RunError
from tunery.schema.config.regularization import Adversarial, Fgm, NoAdversary, Pgd
from tunery.schema.spec import Spec

Forward = Callable[[], Tensor]
Backward = Callable[[Tensor], None]

_LIFT = 2.0**10
"""Gradients that are only normalised are taken of the loss times this, or fp16 would round most of them to zero."""


class AdversarialTraining(ABC):
    """Runs one micro-batch, once or several times; the trainer calls it in place of forward and backward."""

    @abstractmethod
    def backward(self, forward: Forward, backward: Backward) -> Tensor:
        """Accumulate the gradients of one micro-batch and return its clean loss, detached.

        Args:
            forward: the share of the micro-batch in the loss of the step, a scalar.
            backward: adds the gradients of a scalar to those of the weights.
        """


@final
class CleanTraining(AdversarialTraining):
    """Forward and backward once, over the texts as they are."""

    def backward(self, forward: Forward, backward: Backward) -> Tensor:
        """Forward, backward."""
        loss = forward()
        backward(loss)
        return loss.detach()


@final
class PerturbedTraining(AdversarialTraining):
    """Once over the texts as they are, and once over texts perturbed to where the loss is higher; the gradients of both
    add up.

    The perturbation of each text starts at zero and makes `steps` steps along the gradient, normalised over the text
    (Miyato et al. 2017, arXiv 1605.07725, equations 5 and 6); one that has left the ball around zero is put back on its
    surface (Madry et al. 2018, arXiv 1706.06083, section 2.1). One step of the ball's radius is FGM.
    """

    def __init__(self, embeddings: nn.Module, *, epsilon: float, steps: int, step_size: float) -> None:
        """Args:
        embeddings: token ids (rows, tokens) -> (rows, tokens, hidden).
        epsilon: radius of the ball, as a share of the length of the text's embeddings.
        steps: how many steps are made.
        step_size: length of one step, as a share of the radius.
        """
        self._embeddings = embeddings
        self._epsilon = epsilon
        self._steps = steps
        self._step_size = step_size

    def backward(self, forward: Forward, backward: Backward) -> Tensor:
        """The first gradient comes from the unperturbed texts; those between leave nothing in the weights.

        Raises:
            RunError: the model did not use its token embeddings.
        """
        hook = _EmbeddingHook()
        with hook.on(self._embeddings):
            clean = forward()
            backward(clean)
            gradient = hook.gradient()
            # with padding, a text would be longer in another batch: (rows, tokens, 1) of those that the loss depends on
            used = (gradient != 0).any(dim=2, keepdim=True)
            radius = self._epsilon * _lengths(hook.embedded * used)
            perturbation = self._further(torch.zeros_like(gradient), gradient, radius)
            for _ in range(self._steps - 1):
                hook.perturbation = perturbation.requires_grad_()
                (gradient,) = torch.autograd.grad(forward() * _LIFT, hook.perturbation)
                perturbation = self._further(perturbation.detach(), gradient, radius)
            hook.perturbation = perturbation
            backward(forward())
        return clean.detach()

    def _further(self, perturbation: Tensor, gradient: Tensor, radius: Tensor) -> Tensor:
        """One step further, and back onto the ball."""
        further = perturbation + self._step_size * radius * _normalised(gradient)
        return further * (radius / _lengths(further)).nan_to_num(nan=1.0).clamp(max=1.0)


@final
class _EmbeddingHook:
    """What the embeddings put out the first time, and what is added to it; both (rows, tokens, hidden)."""

    def __init__(self) -> None:
        self.embedded = torch.empty(0)
        self.perturbation: Tensor | None = None

    @contextmanager
    def on(self, embeddings: nn.Module) -> Iterator[None]:
        """Add the perturbation whenever the embeddings are used within; it starts at zero."""
        handle = embeddings.register_forward_hook(self._add)
        try:
            yield
        finally:
            handle.remove()

    def _add(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        if self.perturbation is None:
            self.embedded = output.detach().float()
            self.perturbation = torch.zeros_like(self.embedded, requires_grad=True)
        return output + self.perturbation.to(output.dtype)

    def gradient(self) -> Tensor:
        """Of what was propagated back, with respect to the perturbation."""
        if self.perturbation is None or self.perturbation.grad is None:
            rule = "adversarial training perturbs what the token embeddings put out"
            raise RunError(f"{rule}, but the model did not use them; write regularization.adversarial=none")
        return self.perturbation.grad


def _lengths(texts: Tensor) -> Tensor:
    """(rows, tokens, hidden) -> (rows, 1, 1)"""
    lengths: Tensor = torch.linalg.vector_norm(texts, dim=(1, 2), keepdim=True)
    return lengths


def _normalised(gradient: Tensor) -> Tensor:
    """Of length 1 in every text; zero where the gradient is, or where it is not finite (an overflow in fp16)."""
    largest = gradient.abs().amax(dim=(1, 2), keepdim=True)  # squares of small numbers would vanish
    scaled = gradient / largest
    return (scaled / _lengths(scaled)).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def _fgm(spec: Fgm, embeddings: nn.Module) -> AdversarialTraining:
    return PerturbedTraining(embeddings, epsilon=spec.epsilon, steps=1, step_size=1.0)


def _pgd(spec: Pgd, embeddings: nn.Module) -> AdversarialTraining:
    return PerturbedTraining(embeddings, epsilon=spec.epsilon, steps=spec.steps, step_size=spec.step_size)


ADVERSARIAL: dict[type[Spec], Callable[[Any, nn.Module], AdversarialTraining]] = {
    NoAdversary: lambda spec, embeddings: CleanTraining(),
    Fgm: _fgm,
    Pgd: _pgd,
}


def make_adversarial_training(spec: Adversarial, embeddings: nn.Module) -> AdversarialTraining:
    """What runs the micro-batches. With `epsilon: 0` there is nothing to perturb, and each is run once.

    Args:
        spec: how texts are perturbed.
        embeddings: the table of token embeddings of the model, ids (rows, tokens) -> (rows, tokens, hidden).
    """
    is_off = isinstance(spec, Fgm | Pgd) and not spec.epsilon
    return CleanTraining() if is_off else ADVERSARIAL[type(spec)](spec, embeddings)
