"""Proposals: legal, new, the same again from the same history; and TPE learns within branches."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial
from sqlalchemy import event

from fast_and_slow import examples
from stored_proposals import store
from tunery.hpo.samplers import candidates
from tunery.hpo.samplers.builders import SAMPLERS
from tunery.hpo.samplers.candidates import Candidate, Candidates, Sampling
from tunery.hpo.samplers.proposal import PARAMS, Proposal, identity, proposal_of, propose
from tunery.hpo.search_space.distributions import Params, Space
from tunery.hpo.storage.database import backend, close_study, open_study, sqlite_url
from tunery.hpo.storage.trial_queue import TrialQueue
from tunery.schema.config.search import Grid, Random, Sampler, Search, Tpe
from tunery.schema.reading.document import Document
from tunery.schema.space.default import with_default_domains
from tunery.schema.space.sampled import with_domains

BASE = {"task": {"kind": "classification"}, "data": {"train": "rows.csv"}}
RATE = {"low": 1e-5, "high": 1e-1, "log": True}


def space_of(**sections: Any) -> Document:
    return with_domains({**BASE, **sections})


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


class Study:
    """Asks, proposes, stores and tells, as the trial loop does."""

    def __init__(self, document: Document, sampler: Sampler, *, seed: int = 0) -> None:
        self.document = document
        self.search = Search(sampler=sampler)
        self.seed = seed
        self.study = optuna.create_study(direction="maximize")

    def propose(self, trial: Trial) -> Proposal | None:
        seen = {identity(other.params) for other in self.study.get_trials(deepcopy=False) if other.params}
        return propose(self.study, trial, self.document, self.search, seed=self.seed, seen=seen)

    def step(self, score: Callable[[Params], float]) -> Proposal | None:
        trial = self.study.ask()
        found = self.propose(trial)
        if found is not None:
            store(trial, found)
            self.study.tell(trial, score(found.params))
        return found

    def run(self, trials: int, score: Callable[[Params], float] = lambda params: 0.0) -> list[Params]:
        found = [self.step(score) for _ in range(trials)]
        return [proposal.params for proposal in found if proposal is not None]


BRANCHES = space_of(
    peft={
        "method": ["lora", "pfeiffer", "houlsby", "ia3"],
        "lora": {"dropout": {"low": 0.0, "high": 0.2}, "alpha": {"low": 1, "high": 64, "log": True}},
        "pfeiffer": {"dropout": {"low": 0.0, "high": 0.5}, "bottleneck": {"low": 8, "high": 256, "log": True}},
        "houlsby": {"dropout": {"low": 0.0, "high": 0.5}, "bottleneck": {"low": 8, "high": 256, "log": True}},
    },
    optim={"lr": RATE},
)
BEST_RATE = {"lora": 1e-3, "pfeiffer": 3e-4, "houlsby": 1e-2, "ia3": 3e-2}
BEST_SCORE = {"lora": 0.0, "pfeiffer": -0.2, "houlsby": -0.1, "ia3": -1.0}


def score(params: Params) -> float:
    """Every method has a learning rate, and every branch values of its own, that are best for it."""
    method = params["peft.method"]
    own = {path.rpartition(".")[2]: value for path, value in params.items() if path.startswith(f"peft.{method}.")}
    far = math.log10(params["optim.lr"] / BEST_RATE[method]) ** 2 / 2
    far += 4 * abs(own.get("dropout", 0.1) - 0.1) + abs(math.log10(own.get("alpha", 8) / 8))
    return BEST_SCORE[method] - far - abs(math.log10(own.get("bottleneck", 100) / 100))


@pytest.fixture
def no_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "portfolio", lambda document: [])


@pytest.mark.usefixtures("no_defaults")
def test_tpe_beats_chance_and_comes_to_propose_what_is_good_within_branches() -> None:
    seeds = range(6)
    tpe = [Study(BRANCHES, Tpe(), seed=seed).run(70, score) for seed in seeds]
    chance = [Study(BRANCHES, Random(), seed=seed).run(70, score) for seed in seeds]
    assert mean(max(map(score, run)) for run in tpe) > mean(max(map(score, run)) for run in chance) + 0.08
    assert mean(score(params) for run in tpe for params in run[-20:]) > mean(map(score, sum(chance, []))) + 0.5
    early, late = [[params for run in tpe for params in run[part]] for part in (slice(20), slice(-20, None))]
    assert share_of_good_dropouts(late) > share_of_good_dropouts(early) + 0.08


def share_of_good_dropouts(found: list[Params]) -> float:
    dropouts = [params[path] for params in found for path in params if path.endswith("dropout")]
    return mean(abs(dropout - 0.1) < 0.05 for dropout in dropouts)


def test_a_branch_that_is_never_the_best_is_learned_all_the_same() -> None:
    """No trial of `houlsby` is among the best of all; among those of `houlsby`, a low dropout is better.

    With one split into good and bad over all trials, a sixth of the draws are low, which is what chance gives.
    """

    def worst(params: Params) -> float:
        return -params["peft.houlsby.dropout"] - 10 if params["peft.method"] == "houlsby" else 0.0

    study = Study(BRANCHES, Random())
    study.run(200, worst)
    number, space, drawn = study.study.ask().number, Space(BRANCHES), []
    for seed in range(20):
        asked = Candidates(space, study.study, number=number, seed=seed, is_new=lambda params: True)
        drawn.append(next(SAMPLERS[Tpe](Tpe(), asked)).choose("peft.houlsby.dropout"))
    assert mean(dropout < 0.1 for dropout in drawn) > 0.9


def test_trials_that_had_to_leave_a_parameter_out_are_learned_from() -> None:
    """Most trials have no `encoder_dropout`, the good ones among them; what they say of the rate is not lost."""
    document = space_of(
        peft={"method": ["lora", "dora", "none"]},
        optim={"lr": RATE},
        regularization={"encoder_dropout": {"low": 0.1, "high": 0.3}},
    )

    def best_at_a_high_rate(params: Params) -> float:
        goal = 1e-4 if params["peft.method"] == "none" else 1e-2
        return -10 * (params["peft.method"] == "none") - abs(math.log10(params["optim.lr"] / goal))

    study = Study(document, Random())
    study.run(80, best_at_a_high_rate)
    study.search = Search(sampler=Tpe())
    drawn = []
    for seed in range(20):
        study.seed = seed
        proposal = study.propose(study.study.ask())
        assert proposal is not None
        drawn.append(proposal.params["optim.lr"])
    assert mean(1e-3 < rate < 1e-1 for rate in drawn) > 0.9


def test_a_draft_depends_on_history_seed_and_number_alone() -> None:
    one, other = Study(BRANCHES, Tpe(startup_trials=5)), Study(BRANCHES, Tpe(startup_trials=5))
    assert one.run(12, score) == other.run(12, score)
    trial = one.study.ask()
    first, again = one.propose(trial), one.propose(trial)
    assert first is not None
    assert first == again
    assert one.study.get_trials()[-1].params == {}
    assert one.study.get_trials()[-1].system_attrs == {}
    one.seed = 1
    assert one.propose(trial) != first


def test_the_first_trials_are_the_known_defaults_and_the_rest_is_drawn() -> None:
    document = space_of(peft={"method": ["lora", "ia3"]}, optim={"lr": {"low": 1e-4, "high": 1e-2, "log": True}})
    first, second, *_ = Study(document, Tpe()).run(2)
    assert first == {"peft.method": "lora", "optim.lr": 1e-3}
    assert second["peft.method"] == "ia3"
    assert 1e-4 <= second["optim.lr"] <= 1e-2  # the default of ia3 is higher


def test_a_combination_that_the_rules_refuse_is_never_proposed() -> None:
    document = space_of(peft={"method": ["lora", "none"]}, freeze=["none", "freeze_encoder"], optim={"lr": RATE})
    found = Study(document, Random()).run(40)
    pairs = {(params["peft.method"], params["freeze.strategy"]) for params in found}
    assert pairs == {("lora", "none"), ("none", "none"), ("none", "freeze_encoder")}


@pytest.mark.parametrize("sampler", [Random(), Tpe(startup_trials=4)])
def test_what_would_do_nothing_is_left_out_of_the_trial(sampler: Sampler) -> None:
    document = space_of(
        peft={"method": ["lora", "none"]},
        regularization={"encoder_dropout": {"low": 0.1, "high": 0.3}},
        optim={"lr": RATE},
    )
    study = Study(document, sampler)
    found = study.run(25, lambda params: params.get("regularization.encoder_dropout", 0.0))
    assert {params["peft.method"] for params in found} == {"lora", "none"}
    for params in found:
        assert ("regularization.encoder_dropout" in params) == (params["peft.method"] == "none")
    assert {frozenset(trial.params) for trial in study.study.trials} == {frozenset(params) for params in found}


@pytest.mark.parametrize("sampler", [Tpe(startup_trials=2), Random(), Grid(points=4)])
def test_every_configuration_comes_once_and_then_the_space_is_exhausted(sampler: Sampler) -> None:
    document = space_of(
        peft={"method": ["lora", "none"], "r": [4, 8]},
        freeze=["none", "freeze_encoder"],
        train={"epochs": {"low": 1, "high": 4}},
    )
    found = Study(document, sampler).run(20, lambda params: float(params["train.epochs"]))
    assert len(found) == len(set(map(identity, found))) == 4 * (2 + 2)


def test_what_chance_misses_is_found_in_the_end() -> None:
    document = space_of(train={"epochs": {"low": 1, "high": 60}})
    assert sorted(params["train.epochs"] for params in Study(document, Random()).run(60)) == list(range(1, 61))


def test_a_grid_comes_in_an_order_of_its_seed() -> None:
    document = space_of(optim={"lr": RATE}, train={"epochs": [1, 2, 3]})
    runs = [Study(document, Grid(points=3), seed=seed).run(12) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    assert sorted(map(identity, runs[0])) == sorted(map(identity, runs[2]))
    assert len(runs[0]) == 9


class Stubborn(BaseSampler):
    """Always wants the same."""

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        raise AssertionError("what is drawn together is known")

    def sample_relative(self, study: Any, trial: Any, search_space: dict[str, Any]) -> dict[str, Any]:
        return dict.fromkeys(search_space, 0.01)

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        raise AssertionError("nothing is left to draw")


@pytest.mark.usefixtures("no_defaults")
def test_where_a_sampler_has_nothing_new_chance_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    def stubborn(spec: Any, asked: Candidates) -> Iterator[Candidate]:
        return asked.drawn(Sampling(lambda seed: Stubborn()))

    monkeypatch.setitem(SAMPLERS, Random, stubborn)
    first, second, third = Study(space_of(optim={"lr": RATE}), Random()).run(3)
    assert first == {"optim.lr": 0.01}
    assert len({first["optim.lr"], second["optim.lr"], third["optim.lr"]}) == 3


def test_running_trials_count_as_bad_ones_so_that_workers_go_different_ways() -> None:
    study = Study(space_of(optim={"lr": RATE}), Tpe(startup_trials=0))
    study.run(30, lambda params: -abs(math.log10(params["optim.lr"] / 1e-3)))
    near = [study.propose(study.study.ask()) for _ in range(30)]
    for _ in range(15):
        trial, proposal = study.study.ask(), proposal_of({"optim.lr": 1e-3}, study.document)
        store(trial, proposal._replace(notes={}))
    far = [study.propose(study.study.ask()) for _ in range(30)]
    assert distance(far) > distance(near) + 0.1


def distance(proposals: list[Proposal | None]) -> float:
    return mean(abs(math.log10(proposal.params["optim.lr"] / 1e-3)) for proposal in proposals if proposal is not None)


def test_a_draft_is_stored_whole_and_storing_it_again_changes_nothing(tmp_path: Path) -> None:
    """Whoever reads meanwhile, a worker elsewhere for instance, sees all of its parameters or none."""
    writing, reading = (open_study(sqlite_url(tmp_path), name="study", directions=["maximize"]) for _ in range(2))
    document = with_default_domains(BASE)
    queue = TrialQueue(writing, worker="test", shared=False)
    queue.enqueue(1)
    trial = queue.claim()
    assert trial is not None
    proposal = propose(writing, trial, document, Search(sampler=Random()), seed=5, seen=())
    assert proposal is not None and len(proposal.params) > 4
    read: list[FrozenTrial] = []
    event.listen(
        backend(writing).engine, "before_cursor_execute", lambda *_: read.append(reading.get_trials(deepcopy=False)[0])
    )
    for _ in range(2):
        assert queue.write(
            trial, {PARAMS: proposal.params}, system_attributes={"generation": 3}, params=proposal.stored()
        )
    read.append(reading.get_trials(deepcopy=False)[0])

    assert len(read) > len(proposal.params) and not read[0].params
    for seen in read:
        assert seen.params in ({}, proposal.params) and seen.user_attrs.get(PARAMS, {}) == seen.params
        assert seen.system_attrs == ({"generation": 3} if seen.params else {})
    assert read[-1].distributions == proposal.distributions
    assert proposal_of(read[-1].user_attrs[PARAMS], document)[:3] == proposal[:3]
    for study in (writing, reading):
        close_study(study)


def test_parameters_that_are_no_longer_legal_are_refused() -> None:
    document = space_of(peft={"method": ["lora", "none"]}, freeze=["none", "freeze_encoder"])
    with pytest.raises(ValueError, match=r"the stored parameters .*freeze_encoder.* are no longer legal"):
        proposal_of({"peft.method": "lora", "freeze.strategy": "freeze_encoder"}, document)


def test_equal_configurations_have_one_identity() -> None:
    assert identity({"a": 8, "b": True}) == identity({"b": True, "a": 8.0})
    assert identity({"a": 1, "b": 2}) != identity({"a": 2, "b": 1})
    assert identity({"a": True}) != identity({"a": 1})


DEFAULT_SPACE = with_default_domains(BASE)


@given(st.integers(0, 2**32 - 1))
@examples(0.2)
def test_every_draft_from_the_default_space_is_legal_and_within_its_domains(seed: int) -> None:
    study = optuna.create_study()
    for _ in range(4):
        study.ask()
    proposal = propose(study, study.ask(), DEFAULT_SPACE, Search(sampler=Random()), seed=seed, seen=())
    assert proposal is not None
    for path, value in proposal.params.items():
        assert proposal.distributions[path]._contains(proposal.distributions[path].to_internal_repr(value))
    assert proposal_of(proposal.params, DEFAULT_SPACE).config == proposal.config
    assert set(proposal.params) <= set(Space(DEFAULT_SPACE).parameters)
