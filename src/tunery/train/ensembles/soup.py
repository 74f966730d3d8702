"""One model whose weights are the mean of those of several."""

from collections.abc import Callable, Sequence
from typing import final

from torch import Tensor

from tunery.data.row_table import RowTable, gap
from tunery.errors import ModelError
from tunery.model.build import Built
from tunery.model.trainable import load_trainable
from tunery.train.artifacts.verify import ROWS, TOLERANCE
from tunery.train.ensembles.members import Member
from tunery.train.predict.inference import Answerer
from tunery.train.setup.assemble import base_of

Indices = tuple[int, ...]
"""Of members, in the order in which they were taken."""


def greedy_soup(order: Sequence[int], merit: Callable[[Indices], float]) -> Indices:
    """What stays in a soup: each in turn is put in, and stays unless it makes the soup worse.

    Recipe 1 of Wortsman et al. 2022 (arXiv 2203.05482).

    Args:
        order: best first.
    """
    chosen: Indices = (order[0],)
    best = merit(chosen)
    for index in order[1:]:
        with_it = merit((*chosen, index))
        if with_it >= best:
            chosen, best = (*chosen, index), with_it
    return chosen


@final
class WeightAverage:
    """One model that takes the mean of the weights of any members that mean the same in it."""

    def __init__(self, members: Sequence[Member]) -> None:
        """Args:
        members: best first.

        Raises:
            ModelError: when no two of them share base, method and shapes, so that their mean would mean nothing.
        """
        self._members = members
        self._answers: dict[frozenset[int], RowTable] = {}
        same_shape: dict[object, list[int]] = {}
        for index, member in enumerate(members):
            if member.shape is not None:
                same_shape.setdefault(member.shape, []).append(index)
        for indices in same_shape.values():  # that of the best comes first
            if len(indices) > 1:
                self.model = members[indices[0]].weights.restore()
                self.indices: Indices = tuple(index for index in indices if self._answers_alike(index))
                if len(self.indices) > 1:
                    return
        names = ", ".join(str(member.trial) for member in members)
        rule = "a soup needs two trials that share base, method and shapes of weights"
        raise ModelError(f"{rule}, but no two of the trials {names} do; choose trials of one peft.method and its keys")

    def answers(self, chosen: Indices) -> RowTable:
        """Of the mean of some members, on all validation rows; worked out once."""
        key = frozenset(chosen)
        if key not in self._answers:
            self._answers[key] = self.average(chosen).answers(self.model.prepared.splits.validation.examples)
        return self._answers[key]

    def average(self, chosen: Indices) -> Answerer:
        """Put the mean of their weights into the model."""
        first = self._weights(chosen[0])
        total = {name: tensor.double() for name, tensor in first.items()}
        for index in chosen[1:]:
            for name, tensor in self._weights(index).items():
                total[name] += tensor
        mean = {name: (total[name] / len(chosen)).to(tensor.dtype) for name, tensor in first.items()}
        load_trainable(self._built, mean)
        return self.model.network

    @property
    def _built(self) -> Built:
        if self.model.built is None:
            raise RuntimeError("members with a shape have a neural network")
        return self.model.built

    def _answers_alike(self, index: int) -> bool:
        """Whether a member's weights give its own answers in this model; a factor beside them may be another."""
        rows = self.model.prepared.splits.validation.examples[:ROWS]
        answers = self.average((index,)).answers(rows, precision="fp32")
        return gap(answers.flat(), self._members[index].probes.flat()) <= TOLERANCE

    def _weights(self, index: int) -> dict[str, Tensor]:
        stored, model = self._members[index].weights, self.model
        reference = base_of(self._built, model.config, model.prepared)
        return dict(stored.objects.get(stored.record.digest, reference=reference))
