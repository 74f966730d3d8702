"""Every sampler and every pruner of the schema, by one contract."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from stored_proposals import store
from tunery.hpo.pruners.builders import PRUNERS
from tunery.hpo.pruners.hyperband import Hyperband
from tunery.hpo.samplers.builders import SAMPLERS
from tunery.hpo.samplers.proposal import identity, propose
from tunery.hpo.storage.database import close_study, open_study, sqlite_url
from tunery.schema.config.search import CmaEs, Gp, Nsga2, Pruner, Sampler, Search, Tpe
from tunery.schema.reading.fields import alternatives
from tunery.schema.space.sampled import with_domains

TRIALS = 15

optuna.logging.set_verbosity(optuna.logging.ERROR)
SPACE = with_domains(
    {
        "task": {"kind": "classification"},
        "data": {"train": "rows.csv"},
        "peft": {
            "method": ["lora", "pfeiffer", "none"],
            "r": [4, 8, 16],
            "pfeiffer": {"dropout": {"low": 0.1, "high": 0.3}},
        },
        "optim": {"lr": {"low": 1e-5, "high": 1e-2, "log": True}, "weight_decay": {"low": 0.0, "high": 0.1}},
        "regularization": {"encoder_dropout": {"low": 0.0, "high": 0.2}},
        "train": {"epochs": {"low": 1, "high": 5}},
    }
)
SHORT = {Tpe: {"startup_trials": 5}, Gp: {"startup_trials": 9}, CmaEs: {"startup_trials": 5}, Nsga2: {"population": 4}}


def sampler_of(kind: type[Any]) -> Any:
    return kind(**SHORT.get(kind, {}))


def score(params: dict[str, Any]) -> float:
    return (
        -abs(math.log10(params["optim.lr"] / 1e-3)) - {"lora": 0.0, "pfeiffer": 0.1, "none": 1.0}[params["peft.method"]]
    )


def in_memory() -> optuna.Study:
    return optuna.create_study(direction="maximize")


def run(kind: type[Any], *studies: optuna.Study, seed: int = 3) -> list[dict[str, Any]]:
    """What is proposed, by each of several openings of one study in turn."""
    search = Search(sampler=sampler_of(kind))
    for number in range(TRIALS):
        study = studies[number % len(studies)]
        trial = study.ask()
        seen = {identity(other.params) for other in study.get_trials(deepcopy=False) if other.params}
        proposal = propose(study, trial, SPACE, search, seed=seed, seen=seen)
        assert proposal is not None
        store(trial, proposal)
        state = TrialState.PRUNED if trial.number % 5 == 4 else TrialState.COMPLETE
        trial.storage.set_trial_intermediate_value(trial._trial_id, 1, score(proposal.params))
        study.tell(trial, score(proposal.params) if state is TrialState.COMPLETE else None, state)
    return [trial.params for trial in studies[0].get_trials(deepcopy=False)]


def test_unions_and_tables_list_the_same_members() -> None:
    assert set(alternatives(Sampler)) == set(SAMPLERS)
    assert set(alternatives(Pruner)) == set(PRUNERS)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_sampler_proposes_the_same_again_from_what_is_stored(kind: type[Any], tmp_path: Path) -> None:
    proposed, url = run(kind, in_memory()), sqlite_url(tmp_path)
    openings = [open_study(url, name="study", directions=["maximize"]) for _ in range(2)]
    assert len({identity(params) for params in proposed}) == TRIALS
    assert run(kind, *openings) == proposed
    for opening in openings:
        close_study(opening)


def test_samplers_differ_once_they_have_begun() -> None:
    late = [identity(params) for kind in SAMPLERS for params in run(kind, in_memory())[-3:]]
    assert len(set(late)) == len(late)
    assert run(Tpe, in_memory(), seed=4) != run(Tpe, in_memory())


@pytest.mark.parametrize("kind", [kind for kind in SAMPLERS if kind is not CmaEs])
def test_a_sampler_takes_several_objectives_with_pruned_trials(kind: type[Any]) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    seen = set[str]()
    for number in range(12):
        trial = study.ask()
        proposal = propose(study, trial, SPACE, Search(sampler=sampler_of(kind)), seed=0, seen=seen)
        assert proposal is not None
        store(trial, proposal)
        seen.add(identity(proposal.params))
        trial.storage.set_trial_intermediate_value(trial._trial_id, 1, score(proposal.params))
        values = [score(proposal.params), float(proposal.params["train.epochs"])]
        study.tell(trial, values if number % 3 else None, TrialState.COMPLETE if number % 3 else TrialState.PRUNED)
    assert len(seen) == 12


def judged(kind: type[Any], curves: Sequence[Sequence[float]], **settings: Any) -> list[int]:
    """How many epochs each of the trials had, one after the other, before the pruner stopped it."""
    epochs = len(curves[0])
    study, pruner = optuna.create_study(direction="maximize"), PRUNERS[kind](kind(**settings), epochs)
    lengths = []
    for curve in curves:
        trial = study.ask()
        for epoch, value in enumerate(curve, start=1):
            trial.report(value, epoch)
            if pruner.prune(study, study.get_trials(deepcopy=False)[trial.number]):
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, curve[-1])
        lengths.append(epoch)
    return lengths


@pytest.mark.parametrize("kind", PRUNERS)
def test_a_pruner_lets_the_best_trial_through(kind: type[Any]) -> None:
    curves = [[quality * epoch for epoch in range(1, 10)] for quality in (5, 1, 7, 2, 6, 3, 8, 4, 0, 9)]
    lengths = judged(kind, curves)
    assert lengths[-1] == 9
    assert (sum(lengths) < 90) == (kind.model_fields["name"].default != "none")


@pytest.mark.parametrize("name", ["median", "percentile"])
def test_a_trial_is_not_stopped_while_it_warms_up(name: str) -> None:
    kind = next(kind for kind in PRUNERS if kind.model_fields["name"].default == name)
    curves = [[5.0] * 6] * 4 + [[1.0] * 6]
    assert judged(kind, curves, warmup_epochs=3) == [6, 6, 6, 6, 4]
    assert judged(kind, curves, warmup_epochs=0) == [6, 6, 6, 6, 1]
    assert judged(kind, curves, startup_trials=5) == [6, 6, 6, 6, 6]


@pytest.mark.parametrize(
    ("before", "value", "stopped"),
    [
        ((0.1, 0.3, 0.1, 0.1), 0.1, True),
        ((0.1, 0.3, 0.1, 0.1), 0.09, True),
        ((0.1, 0.1, 0.1, 0.1), 0.1, False),
        ((0.3, 0.3, 0.1, 0.3), 0.3, False),
        ((0.1, 0.2, 0.3), 0.2, False),
        ((0.1, 0.3, 0.1), 0.1, True),
        ((0.1, 0.3, 0.1, 0.1), 0.2, False),
    ],
)
def test_models_that_all_name_the_largest_class_are_stopped_once_one_has_learnt_more(
    before: Sequence[float], value: float, stopped: bool
) -> None:
    kind = next(kind for kind in PRUNERS if kind.model_fields["name"].default == "median")
    curves = [[known] * 5 for known in (*before, value)]
    assert judged(kind, curves, startup_trials=len(before)) == [5] * len(before) + [2 if stopped else 5]
    assert judged(kind, curves, startup_trials=len(before) + 1)[-1] == 5
    assert judged(kind, curves, startup_trials=len(before), warmup_epochs=5)[-1] == 5


def test_hyperband_spreads_trials_over_brackets_in_proportion() -> None:
    brackets = Hyperband(least=1, most=27, factor=3)
    turns = [brackets.bracket(number) for number in range(2 * 49)]
    assert [turns.count(bracket) for bracket in range(4)] == [2 * 27, 2 * 12, 2 * 6, 2 * 4]
    assert set(turns[:10]) == {0, 1, 2, 3}
    assert {Hyperband(least=3, most=2, factor=3).bracket(number) for number in range(9)} == {0}


def test_a_late_bracket_of_hyperband_does_not_decide_early() -> None:
    brackets = Hyperband(least=1, most=9, factor=3)
    study = optuna.create_study(direction="maximize")
    stopped: dict[int, set[int]] = {0: set(), 1: set(), 2: set()}
    for number in range(60):
        trial = study.ask()
        for epoch in range(1, 10):
            trial.report(-float(number), epoch)  # each is worse than those before it
            if brackets.prune(study, study.get_trials(deepcopy=False)[number]):
                stopped[brackets.bracket(number)].add(epoch)
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, -float(number))
    assert stopped == {0: {1}, 1: {3}, 2: {9}}


def test_a_trial_of_hyperband_is_compared_within_its_bracket() -> None:
    brackets = Hyperband(least=1, most=9, factor=3)
    study = optuna.create_study(direction="maximize")
    for number in range(40):
        trial, value = study.ask(), float(brackets.bracket(number) == 0)
        for epoch in range(1, 10):
            trial.report(value, epoch)
            assert not brackets.prune(study, study.get_trials(deepcopy=False)[number])
        study.tell(trial, value)
