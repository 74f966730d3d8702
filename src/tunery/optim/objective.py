"""What training minimises: terms that are sums over units (rows, tokens), so that micro-batches add up exactly."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final, final

from torch import Tensor, nn

from tunery.optim.losses import RowLoss

Tensors = Mapping[str, Tensor]

NO_TARGET: Final = -100
"""Of a place where no token is to be told, as torch has it."""


class Objective(ABC):
    """The sum over terms of weight * sum / units, where sum and units are those of all micro-batches of a step.

    So the loss of a step does not depend on how its rows are cut into micro-batches, whether a term counts rows or
    tokens.
    """

    module: nn.Module
    """What it learns: `train` moves it to the device, trains its parameters and keeps its `state_dict`."""
    weights: Mapping[str, float]
    """Term -> its weight."""

    @abstractmethod
    def units(self, targets: Tensors) -> Mapping[str, int]:
        """Term -> how many units the rows of one micro-batch have. `targets` are on the CPU."""

    @abstractmethod
    def sums(self, outputs: Tensors, targets: Tensors) -> Tensors:
        """Term -> its sum over the units of one micro-batch, ().

        Args:
            outputs: of the model by name, float32.
        """

    def learned(self) -> dict[str, float]:
        """What it has learned so far, to be logged beside the loss."""
        return {}

    def share(self, outputs: Tensors, targets: Tensors, *, units: Mapping[str, int]) -> Tensor:
        """What one micro-batch adds to the loss of its step.

        Args:
            units: of all micro-batches of the step. A term without units in a step adds nothing to it.
        """
        terms = [
            self.weights[name] * (total / units[name] if units[name] else 0.0 * total)
            for name, total in self.sums(outputs, targets).items()
        ]
        first, *rest = terms
        return sum(rest, start=first)


@final
class RowObjective(Objective):
    """The mean over rows of a loss that is computed for each row alone."""

    def __init__(self, loss: RowLoss, *, output: str = "labels") -> None:
        """Args:
        output: name of the output, and of the targets that it is compared with.
        """
        self.module: RowLoss = loss
        self.weights = {output: 1.0}
        self._output = output

    def units(self, targets: Tensors) -> Mapping[str, int]:
        """Rows."""
        return {self._output: len(targets[self._output])}

    def sums(self, outputs: Tensors, targets: Tensors) -> Tensors:
        """Of the losses of the rows."""
        losses: Tensor = self.module(outputs[self._output], targets[self._output])
        return {self._output: losses.sum()}

    def learned(self) -> dict[str, float]:
        """What the loss has learned."""
        return self.module.learned()


@final
class TokenObjective(Objective):
    """The mean over tokens that are to be told of what the model says of each."""

    def __init__(self) -> None:
        self.module = nn.Module()
        self.weights = {"tokens": 1.0}

    def units(self, targets: Tensors) -> Mapping[str, int]:
        """Tokens that are to be told."""
        return {"tokens": int((targets["targets"] != NO_TARGET).sum())}

    def sums(self, outputs: Tensors, targets: Tensors) -> Tensors:
        """Of the losses of tokens."""
        return {"tokens": outputs["token_loss"].sum()}
