"""Ensembles of trained models: chosen on validation, measured where nothing was chosen, written as a folder."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple, final

import numpy as np

from tunery.data.examples import Example
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
from tunery.tasks.combine import Combiner
from tunery.tasks.task import Task
from tunery.train.artifacts.publish import export_checked, scratch_folder
from tunery.train.ensembles.combination import BLENDS, Blend, Judge, Rows
from tunery.train.ensembles.members import Member
from tunery.train.ensembles.soup import Places, WeightAverage, greedy
from tunery.train.predict.scoring import score
from tunery.train.setup.prepare import data_record, prepare


@final
class Members:
    """Members, how they are judged, and the halves of validation on which they are chosen and measured in turn."""

    def __init__(self, members: Sequence[Member]) -> None:
        """Args:
        members: best first; of one data set.
        """
        config = members[0].config
        prepared = prepare(config, base=members[0].base, trust_remote_code=members[0].trust_remote_code)
        examples = prepared.splits.validation.examples
        self.members = tuple(members)
        self.answers = tuple(member.answers for member in members)
        self.judge = Judge(prepared.task, prepared.truth["validation"], config.objective, config.direction)
        self.rows: Rows = np.arange(len(examples))
        self.data = data_record(prepared.splits)
        self.halves = _halves(examples, prepared.task, seed=config.data.seed)

    def measured(self, choose: Callable[[Rows], RowTable]) -> float | None:
        """The objective of what is chosen on one half and scored on the other, the mean of both ways; None where it is
        undefined in one of them."""
        values = [self.judge.value(choose(one), other, fitted_on=one) for one, other in self.halves]
        return None if None in values or not values else fmean(value for value in values if value is not None)

    def best_alone(self, rows: Rows) -> RowTable:
        """Answers of the member that is best on some rows, on all rows; of equals the first."""
        return max(self.answers, key=lambda answers: self.judge.merit(answers, rows))


def _halves(examples: Sequence[Example], task: Task, *, seed: int) -> tuple[tuple[Rows, Rows], ...]:
    """Both ways to look at one half and score the other: stratified, what belongs together in one half; none
    where there are too few rows."""
    rows = split_off(examples, {"half": 0.5}, stratum=task.stratum, seed=seed)
    one, other = np.array(rows["half"], dtype=np.int64), np.array(rows["train"], dtype=np.int64)
    return ((one, other), (other, one)) if len(one) and len(other) else ()


class Chosen(NamedTuple):
    """An ensemble."""

    answers: RowTable
    """On all validation rows."""
    places: Places
    """Of its members."""
    blend: Blend
    """Of their answers; for a soup, of their weights."""


class Method(ABC):
    """One way to make a panel answer as one."""

    def __init__(self, panel: Members) -> None:
        """Raises:
        ModelError: when these members cannot be joined in this way.
        """
        self.panel = panel

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
class Blending(Method):
    """The members' answers become one."""

    def __init__(self, panel: Members, *, name: str) -> None:
        super().__init__(panel)
        self._choose = BLENDS[name]
        self._combiner = _combiner_of(panel)
        self._logits = [answers["logits"] for answers in panel.answers]

    def choose(self, rows: Rows) -> Chosen:
        """All members answer; those without weight are left out."""
        blend = self._choose(self._logits, self.panel.judge, rows, self._combiner)
        places = tuple(place for place, weight in enumerate(blend.weights) if weight > 0)
        kept = blend.only(places)
        logits = kept([self._logits[place] for place in places], combiner=self._combiner)
        return Chosen(RowTable({"logits": logits}), places, kept)

    def write(self, chosen: Chosen, folder: Path) -> dict[str, Any]:
        """A folder for every member."""
        names = []
        for place in chosen.places:
            member = self.panel.members[place]
            model, name = member.restored(), f"members/{member.trial}"
            export_checked(model.built, model.prepared, model.config, best=member.record, folder=folder / name)
            names.append(name)
        return {**self._card(chosen), "members": names, "blend": asdict(chosen.blend)}

    def _card(self, chosen: Chosen) -> dict[str, Any]:
        """What every exported folder says about itself."""
        judge, rows = self.panel.judge, self.panel.rows
        value, config = judge.value(chosen.answers, rows), self.panel.members[chosen.places[0]].config
        state = judge.state(chosen.answers, rows)
        return {
            "format": CARD_FORMAT,
            "config": config.model_dump(mode="json"),
            "task": {"kind": config.task.kind, "labels": judge.task.labels, "state": state},
            "data": self.panel.data.model_dump(mode="json"),
            "weights": {"step": 0, "epoch": 0.0, "value": value, "unfinished": False},
        }


def _combiner_of(panel: Members) -> Combiner:
    """Raises:
    ModelError: answers of this task cannot become one.
    """
    if (combiner := panel.judge.task.combiner) is None:
        kind = panel.members[0].config.task.kind
        rule = f"answers of several models of task {kind!r} cannot become one"
        raise ModelError(f"{rule}; --method soup takes the mean of their weights")
    return combiner


@final
class Soup(Method):
    """The members' weights become one model's."""

    def __init__(self, panel: Members) -> None:
        super().__init__(panel)
        self._pot = WeightAverage(panel.members)

    def choose(self, rows: Rows) -> Chosen:
        """Best first, each stays unless it makes the soup worse."""
        judge = self.panel.judge
        order = sorted(self._pot.places, key=lambda place: -judge.merit(self.panel.answers[place], rows))
        places = greedy(order, lambda chosen: judge.merit(self._pot.answers(chosen), rows))
        return Chosen(self._pot.answers(places), places, Blend.even(len(places)))

    def write(self, chosen: Chosen, folder: Path) -> dict[str, Any]:
        """One folder, which other tools load."""
        self._pot.average(chosen.places)
        model, judge = self._pot.model, self.panel.judge
        metrics = score(judge.task, chosen.answers, judge.truth)
        first = self.panel.members[chosen.places[0]].record
        record = first.model_copy(update={"value": metrics[judge.objective], "metrics": metrics})
        export_checked(model.built, model.prepared, model.config, best=record, folder=folder)
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        return card


METHODS: Final[Mapping[str, Callable[[Members], Method]]] = {
    **{name: partial(Blending, name=name) for name in BLENDS},
    "soup": Soup,
}


def gain(name: str, method: Method) -> EnsembleGain | None:
    """What an ensemble is worth on rows that chose nothing of it; None where the objective is undefined there."""
    panel, used = method.panel, set[int]()

    def choose(rows: Rows) -> RowTable:
        chosen = method.choose(rows)
        used.update(chosen.places)
        return chosen.answers

    value, single = panel.measured(choose), panel.measured(panel.best_alone)
    if value is None or single is None:
        return None
    trials = tuple(panel.members[place].trial for place in sorted(used))
    better = minimized(single, panel.judge.direction) - minimized(value, panel.judge.direction) + 0.0  # and not -0.0
    return EnsembleGain.model_validate(
        {"method": name, "trials": trials, "value": value, "single": single, "gain": better}
    )


def gains(members: Sequence[Member]) -> tuple[tuple[EnsembleGain, ...], tuple[str, ...]]:
    """What every method makes of these members, and why there is nothing to say of the others.

    Args:
        members: best first.
    """
    panel = Members(members)
    found, notes = [], []
    for name, make in METHODS.items():
        try:
            told = gain(name, make(panel))
        except ModelError as error:
            notes.append(f"no ensemble by {name!r}: {error}")
            continue
        if told is None:
            notes.append(f"no ensemble by {name!r}: the validation rows are too few to choose on one half of them")
        else:
            found.append(told)
    return tuple(found), tuple(notes)


def write_ensemble(name: str, members: Sequence[Member], out: Path) -> Path:
    """Write the ensemble that all validation rows choose to the new folder `out`, which `load` takes like a model.

    Its `tunery.json` says which trials are in it, how they answer as one, and what it gains on rows that chose nothing.

    Args:
        name: key of `METHODS`.
        members: best first.

    Raises:
        ModelError: when these members cannot be joined in this way.
        ExportMismatch: when a model does not answer from disk as it does here; nothing was written.
    """
    target = out.resolve()
    require_writable(target.parent)
    method = METHODS[name](Members(members))
    measured, chosen = gain(name, method), method.choose(method.panel.rows)
    told = {
        "method": name,
        "trials": [members[place].trial for place in chosen.places],
        "gain": None if measured is None else measured.model_dump(),
    }
    with scratch_folder(temporary(target)) as staged:
        card = {**method.write(chosen, staged), "ensemble": told}
        write_text(staged / CARD, json.dumps(card, indent=1, ensure_ascii=False))
        replace_folder(staged, target)
    return out


def gain_of(folder: Path) -> EnsembleGain | None:
    """What was measured when the ensemble in `folder` was written; None where there were too few rows."""
    card = read_record(folder / CARD, ModelCard)
    return card.ensemble.gain if card is not None and card.ensemble is not None else None
