"""Ensembles of trained models: chosen on validation, measured where nothing was chosen, written as a folder."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple, final

import numpy as np

from tunery.data.row_table import RowTable
from tunery.data.splitting import split_off
from tunery.errors import ModelError
from tunery.schema.results.card import CARD_FORMAT, ModelCard
from tunery.schema.results.direction import minimized
from tunery.schema.results.study import EnsembleGain
from tunery.store.disk.files import replace_folder, require_writable, write_text
from tunery.store.disk.ownership import temporary
from tunery.store.exported import CARD
from tunery.store.records import read_record
from tunery.train.artifacts.publish import export_checked, scratch_folder
from tunery.train.ensembles.combination import COMBINATIONS, Combination, Rows, Scorer, combiner_of
from tunery.train.ensembles.members import Member
from tunery.train.ensembles.soup import Indices, WeightAverage, greedy_soup
from tunery.train.predict.scoring import score
from tunery.train.setup.prepare import data_record, prepare


@final
class Members:
    """Members, how they are scored, and the halves of validation on which they are chosen and measured in turn."""

    def __init__(self, members: Sequence[Member]) -> None:
        """Args:
        members: best first; of one data set.
        """
        best = members[0].weights
        config = best.config
        prepared = prepare(config, base=best.base, trust_remote_code=best.trust_remote_code)
        examples = prepared.splits.validation.examples
        self.each = tuple(members)
        self.answers = tuple(member.answers for member in members)
        self.scorer = Scorer(prepared.task, prepared.truth["validation"], config.objective, config.direction)
        self.rows: Rows = np.arange(len(examples))
        self.data = data_record(prepared.splits)
        rows = split_off(examples, {"half": 0.5}, strata=prepared.task.strata, seed=config.data.seed)
        one, other = np.array(rows["half"], dtype=np.int64), np.array(rows["train"], dtype=np.int64)
        self.halves = ((one, other), (other, one)) if len(one) and len(other) else ()
        """Both ways to choose on one half of the rows and to score the other; none where there are too few."""

    def trials(self, indices: Iterable[int]) -> tuple[int, ...]:
        """Numbers of the trials of some members."""
        return tuple(self.each[index].trial for index in indices)

    def measured(self, choose: Callable[[Rows], RowTable]) -> float | None:
        """The objective of what is chosen on one half and scored on the other, the mean of both ways; None where it is
        undefined in one of them."""
        values = [self.scorer.value(choose(one), other, fitted_on=one) for one, other in self.halves]
        return None if None in values or not values else fmean(value for value in values if value is not None)

    def best_alone(self, rows: Rows) -> RowTable:
        """Answers of the member that is best on some rows, on all rows; of equals the first."""
        return max(self.answers, key=lambda answers: self.scorer.merit(answers, rows))


class Chosen(NamedTuple):
    """An ensemble."""

    answers: RowTable
    """On all validation rows."""
    indices: Indices
    """Of its members."""
    combination: Combination
    """Of their answers; for a soup, of their weights."""


class EnsembleMethod(ABC):
    """One way to make members answer as one."""

    def __init__(self, members: Members) -> None:
        """Raises:
        ModelError: when these members cannot be joined in this way.
        """
        self.members = members

    @abstractmethod
    def choose(self, rows: Rows) -> Chosen:
        """The ensemble, chosen by what the members answer on some of the rows."""

    @abstractmethod
    def write(self, chosen: Chosen, folder: Path) -> dict[str, Any]:
        """Write its models, each read back by another process. Returns the card of the folder.

        Raises:
            ExportMismatch: when what was read back answers otherwise.
        """


@final
class CombinedAnswers(EnsembleMethod):
    """The members' answers become one."""

    def __init__(self, members: Members, *, name: str) -> None:
        super().__init__(members)
        self._choose = COMBINATIONS[name]
        kind, remedy = members.each[0].weights.config.task.kind, "--method soup takes the mean of their weights"
        self._combiner = combiner_of(members.scorer.task, kind, remedy=remedy)
        self._logits = [answers[self._combiner.column] for answers in members.answers]

    def choose(self, rows: Rows) -> Chosen:
        """All members answer; those without weight are left out."""
        combination = self._choose(self._logits, self.members.scorer, rows, self._combiner)
        indices = tuple(index for index, weight in enumerate(combination.weights) if weight > 0)
        kept = combination.of(indices)
        logits = kept([self._logits[index] for index in indices], combiner=self._combiner)
        return Chosen(RowTable({self._combiner.column: logits}), indices, kept)

    def write(self, chosen: Chosen, folder: Path) -> dict[str, Any]:
        """A folder for every member."""
        members, names = [self.members.each[index] for index in chosen.indices], []
        for member in members:
            name = f"members/{member.trial}"
            export_checked(member.weights.restore(), best=member.weights.record, folder=folder / name)
            names.append(name)
        scorer, rows, config = self.members.scorer, self.members.rows, members[0].weights.config
        state, value = scorer.state(chosen.answers, rows), scorer.value(chosen.answers, rows)
        return {
            "format": CARD_FORMAT,
            "config": config.model_dump(mode="json"),
            "task": {
                "kind": config.task.kind,
                "labels": scorer.task.labels,
                "settings": scorer.task.settings,
                "state": state,
            },
            "data": self.members.data.model_dump(mode="json"),
            "weights": {"step": 0, "epoch": 0.0, "value": value, "unfinished": False},
            "members": names,
            "blend": chosen.combination.document(),
        }


@final
class Soup(EnsembleMethod):
    """The members' weights become one model's."""

    def __init__(
        self, members: Members, *, keep: Callable[[Sequence[int], Callable[[Indices], float]], Indices] = greedy_soup
    ) -> None:
        """Args:
        keep: which stay, of indices that come best first, by what a mean is worth.
        """
        super().__init__(members)
        self._keep = keep
        self._mean = WeightAverage(members.each)

    def choose(self, rows: Rows) -> Chosen:
        """Best first, each stays unless it makes the soup worse."""
        scorer, answers = self.members.scorer, self.members.answers
        order = sorted(self._mean.indices, key=lambda index: -scorer.merit(answers[index], rows))
        indices = self._keep(order, lambda chosen: scorer.merit(self._mean.answers(chosen), rows))
        return Chosen(self._mean.answers(indices), indices, Combination.even(len(indices)))

    def write(self, chosen: Chosen, folder: Path) -> dict[str, Any]:
        """One folder, which other tools load."""
        self._mean.average(chosen.indices)
        scorer = self.members.scorer
        metrics = score(scorer.task, chosen.answers, scorer.truth)
        first = self.members.each[chosen.indices[0]].weights.record
        record = first.model_copy(update={"value": metrics[scorer.objective], "metrics": metrics})
        export_checked(self._mean.model, best=record, folder=folder)
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        return card


ENSEMBLE_METHODS: Final[Mapping[str, Callable[[Members], EnsembleMethod]]] = {
    **{name: partial(CombinedAnswers, name=name) for name in COMBINATIONS},
    "soup": Soup,
}


def gain(name: str, method: EnsembleMethod) -> EnsembleGain | None:
    """What an ensemble is worth on rows that chose nothing of it; None where the objective is undefined there."""
    members, used = method.members, set[int]()

    def choose(rows: Rows) -> RowTable:
        chosen = method.choose(rows)
        used.update(chosen.indices)
        return chosen.answers

    value, single = members.measured(choose), members.measured(members.best_alone)
    if value is None or single is None:
        return None
    direction = members.scorer.direction
    better = minimized(single, direction) - minimized(value, direction) + 0.0  # and not -0.0
    return EnsembleGain.model_validate(
        {"method": name, "trials": members.trials(sorted(used)), "value": value, "single": single, "gain": better}
    )


def gains(members: Sequence[Member]) -> tuple[tuple[EnsembleGain, ...], tuple[str, ...]]:
    """What every method makes of these members, and why there is nothing to say of the others.

    Args:
        members: best first.
    """
    together, measured, reasons = Members(members), list[EnsembleGain](), dict[str, list[str]]()
    for name, make in ENSEMBLE_METHODS.items():
        try:
            gained = gain(name, make(together))
        except ModelError as error:
            reasons.setdefault(str(error), []).append(name)
            continue
        if gained is None:
            reasons.setdefault("the validation rows are too few to choose on one half of them", []).append(name)
        else:
            measured.append(gained)
    notes = [f"no ensemble by {', '.join(map(repr, names))}: {reason}" for reason, names in reasons.items()]
    return tuple(measured), tuple(notes)


def write_ensemble(name: str, members: Sequence[Member], out: Path) -> Path:
    """Write the ensemble that all validation rows choose to the new folder `out`, which `load` takes like a model.

    Its `tunery.json` says which trials are in it, how they answer as one, and what it gains on rows that chose nothing.

    Args:
        name: key of `ENSEMBLE_METHODS`.
        members: best first.

    Raises:
        ModelError: when these members cannot be joined in this way.
        ExportMismatch: when a model does not answer from disk as it does here; nothing was written.
    """
    target = out.resolve()
    require_writable(target.parent)
    together = Members(members)
    method = ENSEMBLE_METHODS[name](together)
    measured, chosen = gain(name, method), method.choose(together.rows)
    ensemble = {
        "method": name,
        "trials": together.trials(chosen.indices),
        "gain": None if measured is None else measured.model_dump(),
    }
    with scratch_folder(temporary(target)) as staged:
        card = {**method.write(chosen, staged), "ensemble": ensemble}
        write_text(staged / CARD, json.dumps(card, indent=1, ensure_ascii=False))
        replace_folder(staged, target)
    return out


def gain_of(folder: Path) -> EnsembleGain | None:
    """What was measured when the ensemble in `folder` was written; None where there were too few rows."""
    card = read_record(folder / CARD, ModelCard)
    return card.ensemble.gain if card is not None and card.ensemble is not None else None
