"""What a step takes of memory, predicted without taking any: a line in the rows of a pass.

The rows are as long as the longest, so that the attention is of one size in each and memory grows in proportion to the
rows, whether attention keeps its weights (a parabola in the length) or not (a line in that too).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import Optimizer

from tunery.model.backbones.backbone import quiet
from tunery.train.memory.fake_tensors import LiveBytes, bytes_at_once, fake_copy
from tunery.train.memory.search import Line
from tunery.train.predict.scoring import autocast

Inputs = Mapping[str, Tensor]
InputsOf = Callable[[int], Inputs]
"""Rows of a pass -> what the model reads, on the CPU."""
Ask = Callable[[nn.Module, Inputs], Mapping[str, Tensor]]
"""What the module answers about inputs, by name."""

_ROWS: Final = (1, 32, 64)
"""Rows of the passes that are run: the line has the slope between the two larger, where activations are more than what
is made once, such as the gradient of the embeddings, and is not below any."""


@dataclass(frozen=True)
class Prediction:
    """Bytes beside the model itself."""

    gradients: int
    state: int
    """Of the optimizer."""
    activations: Line
    """Of a pass with a backward pass, by its rows."""
    step: int
    """What the optimizer's step takes beside gradients and state, for as long as it takes."""
    evaluated: Line
    """Of a pass without a backward pass, by its rows."""
    attention: str
    """Which kernel computes attention."""

    @property
    def fixed(self) -> int:
        """Bytes that are there in every pass but the first."""
        return self.gradients + self.state

    def total(self, rows: int, *, ratio: float = 1.0) -> float:
        """At the highest: in a pass, or in the optimizer's step.

        Args:
            ratio: what activations really take, over what is predicted.
        """
        return self.fixed + max(ratio * self.activations.at(rows), self.step)


class Work(NamedTuple):
    """What a step computes with."""

    module: nn.Module
    """Real, or without memory (`meta`)."""
    inputs: InputsOf
    ask: Ask
    optimizer: Callable[[nn.Module], Optimizer]
    """Over the trained parameters of such a module."""
    device: torch.device
    precision: str


def predict(work: Work) -> Prediction | None:
    """Run passes of 1, 32 and 64 rows and a step of the optimizer on fake tensors.

    Returns:
        None where the model asks for the content of tensors, as it does where a loss picks tokens, or keeps its weights
        in a form that has no fake.
    """
    try:
        with torch.random.fork_rng(devices=()), quiet():
            return _predict(work)
    except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError, AssertionError):
        return None  # what torch and models raise about a fake has no common type


def _predict(work: Work) -> Prediction:
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    module = fake_copy(work.module, mode, work.device)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    there: list[Tensor] = [*module.parameters(), *module.buffers()]
    with mode:
        for parameter in trained:
            parameter.grad = torch.empty_like(parameter)
            there.append(parameter.grad)

    def inputs(rows: int) -> Inputs:
        return {name: mode.from_tensor(tensor).to(work.device) for name, tensor in work.inputs(rows).items()}

    def train(rows: int) -> None:
        with autocast(work.device, work.precision):
            answers = work.ask(module, inputs(rows))
        losses = [answer.float().square().mean() for answer in answers.values()]
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]

    def evaluate(rows: int) -> None:
        with torch.no_grad(), autocast(work.device, work.precision):
            work.ask(module, inputs(rows))

    trained_on = [bytes_at_once(mode, there, partial(train, rows)) for rows in _ROWS]
    module.eval()
    read = [bytes_at_once(mode, there, partial(evaluate, rows)) for rows in _ROWS]
    kept: list[Optimizer] = []

    def step() -> None:
        kept.append(work.optimizer(module))
        kept[0].step()

    stepped = bytes_at_once(mode, there, step)
    return Prediction(
        gradients=sum(parameter.nbytes for parameter in trained),
        state=stepped.now,
        activations=_line(trained_on),
        step=stepped.peak - stepped.now,
        evaluated=_line(read),
        attention=", ".join(sorted(trained_on[0].attention)) or "plain",
    )


def _line(passes: Sequence[LiveBytes]) -> Line:
    peaks = [live.peak for live in passes]
    each = max((peaks[-1] - peaks[-2]) / (_ROWS[-1] - _ROWS[-2]), 1.0)
    return Line(max(0.0, *(peak - rows * each for rows, peak in zip(_ROWS, peaks, strict=True))), each)
