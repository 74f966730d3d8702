"""One model whose weights are the mean of those of several."""

from collections.abc import Callable, Sequence
from typing import final

from torch import Tensor

from tunery.data.row_table import RowTable, gap
from tunery.errors import ModelError
from tunery.model.trainable import load_trainable
from tunery.train.artifacts.verify import ROWS, TOLERANCE
from tunery.train.ensembles.members import Member, network_of
from tunery.train.predict.inference import Network
from tunery.train.setup.assemble import base_of

Places = tuple[int, ...]
"""Of members, in the order in which they were taken."""


def greedy(order: Sequence[int], merit: Callable[[Places], float]) -> Places:
    """What stays in a soup: each in turn is put in, and stays unless it makes the soup worse.

    Recipe 1 of Wortsman et al. 2022 (arXiv 2203.05482).

    Args:
        order: best first.
    """
    chosen: Places = (order[0],)
    best = merit(chosen)
    for place in order[1:]:
        found = merit((*chosen, place))
        if found >= best:
            chosen, best = (*chosen, place), found
    return chosen


@final
class WeightAverage:
    """The model that soups are cooked in, and the members whose weights mean the same in it."""

    def __init__(self, members: Sequence[Member]) -> None:
        """Args:
        members: best first.

        Raises:
            ModelError: when no two of them share base, method and shapes, so that their mean would mean nothing.
        """
        self._members = members
        self._known: dict[frozenset[int], RowTable] = {}
        for family in _families(members):
            self.model = members[family[0]].restored()
            self._network = network_of(self.model)
            self.places = tuple(place for place in family if self._answers_alike(place))
            if len(self.places) > 1:
                return
        names = ", ".join(str(member.trial) for member in members)
        rule = "a soup needs two trials that share base, method and shapes of weights"
        raise ModelError(f"{rule}, but no two of the trials {names} do; choose other trials, or --method mean")

    def answers(self, chosen: Places) -> RowTable:
        """Of their soup, on all validation rows; worked out once."""
        key = frozenset(chosen)
        if key not in self._known:
            self._known[key] = self.average(chosen).answers(self.model.prepared.splits.validation.examples)
        return self._known[key]

    def average(self, chosen: Places) -> Network:
        """Put the mean of their weights into the model."""
        total = self._state(chosen[0])
        kinds = {name: tensor.dtype for name, tensor in total.items()}
        total = {name: tensor.double() for name, tensor in total.items()}
        for place in chosen[1:]:
            for name, tensor in self._state(place).items():
                total[name] += tensor
        load_trainable(self.model.built, {name: (t / len(chosen)).to(kinds[name]) for name, t in total.items()})
        return self._network

    def _answers_alike(self, place: int) -> bool:
        """Whether a member's weights give its own answers in this model; a factor beside them may be another."""
        member = self._members[place]
        rows = self.model.prepared.splits.validation.examples[:ROWS]
        answers = self.average((place,)).answers(rows, precision="fp32")
        return gap(answers.flat(), member.probes.flat()) <= TOLERANCE

    def _state(self, place: int) -> dict[str, Tensor]:
        member, model = self._members[place], self.model
        reference = base_of(model.built, model.config, model.prepared)
        return dict(member.objects.get(member.record.digest, reference=reference))


def _families(members: Sequence[Member]) -> list[list[int]]:
    """Those with equal shapes on one base; families of one are left out, and that of the best comes first."""
    found: dict[object, list[int]] = {}
    for place, member in enumerate(members):
        found.setdefault(member.shape, []).append(place)
    return [family for family in found.values() if len(family) > 1]
