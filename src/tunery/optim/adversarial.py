"""Training on texts that were moved against the model: what is moved is what the token embeddings put out.

The weights are never touched: a forward hook adds the move, and it is there only while the passes of a micro-batch run.
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
    """Runs all passes of one micro-batch; the trainer calls it in place of forward and backward."""

    @abstractmethod
    def backward(self, forward: Forward, backward: Backward) -> Tensor:
        """Accumulate the gradients of one micro-batch and return its clean loss, detached.

        Args:
            forward: the share of the micro-batch in the loss of the step, a scalar.
            backward: adds the gradients of a scalar to those of the weights.
        """


@final
class CleanTraining(AdversarialTraining):
    """One pass over the texts as they are."""

    def backward(self, forward: Forward, backward: Backward) -> Tensor:
        """Forward, backward."""
        loss = forward()
        backward(loss)
        return loss.detach()


@final
class PerturbedTraining(AdversarialTraining):
    """A clean pass, and one over texts that were moved to where the loss is higher; the gradients of both add up.

    Each text starts where it is and makes `moves` moves along the gradient, normalised over the text (Miyato et al.
    2017, arXiv 1605.07725, equations 5 and 6); a text that has left the ball around its start is put back on its
    surface (Madry et al. 2018, arXiv 1706.06083, section 2.1). One move of the ball's radius is FGM.
    """

    def __init__(self, embeddings: nn.Module, *, epsilon: float, moves: int, length: float) -> None:
        """Args:
        embeddings: token ids (rows, tokens) -> (rows, tokens, hidden).
        epsilon: radius of the ball, as a share of the length of the text's embeddings.
        moves: how many moves are made.
        length: of one move, as a share of the radius.
        """
        self._embeddings = embeddings
        self._epsilon = epsilon
        self._moves = moves
        self._length = length

    def backward(self, forward: Forward, backward: Backward) -> Tensor:
        """The first gradient comes from the clean pass itself; those between leave nothing in the weights.

        Raises:
            RunError: the model did not use its token embeddings.
        """
        tap = _Tap()
        with tap.on(self._embeddings):
            clean = forward()
            backward(clean)
            gradient, texts = tap.gradient(), tap.texts
            radius = self._epsilon * _lengths(texts * _used(gradient))
            move = self._moved(torch.zeros_like(gradient), gradient, radius)
            for _ in range(self._moves - 1):
                tap.move = move.requires_grad_()
                (gradient,) = torch.autograd.grad(forward() * _LIFT, tap.move)
                move = self._moved(move.detach(), gradient, radius)
            tap.move = move
            backward(forward())
        return clean.detach()

    def _moved(self, move: Tensor, gradient: Tensor, radius: Tensor) -> Tensor:
        """One move further, and back onto the ball."""
        further = move + self._length * radius * _normalised(gradient)
        return further * (radius / _lengths(further)).nan_to_num(nan=1.0).clamp(max=1.0)


@final
class _Tap:
    """What the embeddings put out in the first pass, and what is added to it; both (rows, tokens, hidden)."""

    def __init__(self) -> None:
        self.texts = torch.empty(0)
        self.move: Tensor | None = None

    @contextmanager
    def on(self, embeddings: nn.Module) -> Iterator[None]:
        """Add the move in every pass within; the first pass starts at zero."""
        handle = embeddings.register_forward_hook(self._add)
        try:
            yield
        finally:
            handle.remove()

    def _add(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        if self.move is None:
            self.texts = output.detach().float()
            self.move = torch.zeros_like(self.texts, requires_grad=True)
        return output + self.move.to(output.dtype)

    def gradient(self) -> Tensor:
        """Of what was propagated back, with respect to the move."""
        if self.move is None or self.move.grad is None:
            rule = "adversarial training moves what the token embeddings put out"
            raise RunError(f"{rule}, but the model did not use them; write regularization.adversarial=none")
        return self.move.grad


def _lengths(texts: Tensor) -> Tensor:
    """(rows, tokens, hidden) -> (rows, 1, 1)"""
    lengths: Tensor = torch.linalg.vector_norm(texts, dim=(1, 2), keepdim=True)
    return lengths


def _used(gradient: Tensor) -> Tensor:
    """Tokens that the loss depends on: with padding, a text would be longer in another batch. (rows, tokens, 1)"""
    return (gradient != 0).any(dim=2, keepdim=True)


def _normalised(gradient: Tensor) -> Tensor:
    """Of length 1 in every text; zero where the gradient is, or where it is not finite (an overflow in fp16)."""
    largest = gradient.abs().amax(dim=(1, 2), keepdim=True)  # squares of small numbers would vanish
    scaled = gradient / largest
    return (scaled / _lengths(scaled)).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def _within(embeddings: nn.Module, *, epsilon: float, moves: int = 1, length: float = 1.0) -> AdversarialTraining:
    """Without room to move there is one clean pass, as without an adversary."""
    return PerturbedTraining(embeddings, epsilon=epsilon, moves=moves, length=length) if epsilon else CleanTraining()


ADVERSARIAL: dict[type[Spec], Callable[[Any, nn.Module], AdversarialTraining]] = {
    NoAdversary: lambda spec, embeddings: CleanTraining(),
    Fgm: lambda spec, embeddings: _within(embeddings, epsilon=spec.epsilon),
    Pgd: lambda spec, embeddings: _within(embeddings, epsilon=spec.epsilon, moves=spec.steps, length=spec.step_size),
}


def make_adversarial_training(spec: Adversarial, embeddings: nn.Module) -> AdversarialTraining:
    """What runs the passes of a micro-batch.

    Args:
        spec: which adversary.
        embeddings: the table of token embeddings of the model, ids (rows, tokens) -> (rows, tokens, hidden).
    """
    return ADVERSARIAL[type(spec)](spec, embeddings)
