"""Proposals: legal, new, the same again from the same history; and TPE learns within branches."""

import math
from collections.abc import Callable, Iterator
from statistics import mean
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import BaseSampler
from optuna.trial import Trial

from tunery.hpo import candidates
from tunery.hpo.candidates import Candidate, Candidates, Sampling
from tunery.hpo.draft import Draft, draft, identity, redraft, store
from tunery.hpo.space import Params, Space
from tunery.hpo.tables import SAMPLERS
from tunery.schema.document import Document
from tunery.schema.search import Grid, Random, Sampler, Search, Tpe
from tunery.schema.space import with_domains
from tunery.schema.space_default import with_default_domains

BASE = {"task": {"kind": "classification"}, "data": {"train": "rows.csv"}}
RATE = {"low": 1e-5, "high": 1e-1, "log": True}


def space_of(**sections: Any) -> Document:
    return with_domains({**BASE, **sections})


class Study:
    """Asks, drafts, stores and tells, as the conductor does."""

    def __init__(self, document: Document, sampler: Sampler, *, seed: int = 0) -> None:
        self.document = document
        self.search = Search(sampler=sampler)
        self.seed = seed
        self.study = optuna.create_study(direction="maximize")

    def draft(self, trial: Trial) -> Draft | None:
        seen = {identity(other.params) for other in self.study.get_trials(deepcopy=False) if other.params}
        return draft(self.study, trial, self.document, self.search, seed=self.seed, seen=seen)

    def step(self, score: Callable[[Params], float]) -> Draft | None:
        trial = self.study.ask()
        found = self.draft(trial)
        if found is not None:
            store(trial, found)
            self.study.tell(trial, score(found.params))
        return found

    def run(self, trials: int, score: Callable[[Params], float] = lambda params: 0.0) -> list[Params]:
        found = [self.step(score) for _ in range(trials)]
        return [drafted.params for drafted in found if drafted is not None]


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
BEST_SCORE = {"lora": 0.0, "pfeiffer": -0.2, "houlsby": -0.1, "ia3": -0.4}


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
def test_tpe_beats_random_and_comes_to_propose_what_is_good_within_branches() -> None:
    trials, seeds = 60, range(5)
    tpe = [Study(BRANCHES, Tpe(), seed=seed).run(trials, score) for seed in seeds]
    chance = [Study(BRANCHES, Random(), seed=seed).run(trials, score) for seed in seeds]
    best = [max(map(score, params)) for params in tpe]
    assert mean(best) > mean(max(map(score, params)) for params in chance) + 0.1
    assert sum(score(p) for params in tpe for p in params[-20:]) > sum(score(p) for params in tpe for p in params[:20])
    good = [
        [abs(params[path] - 0.1) < 0.05 for params in run for path in params if path.endswith("dropout")] for run in tpe
    ]
    early, late = (mean(hit for run in good for hit in run[part]) for part in (slice(0, 15), slice(-15, None)))
    assert late > early + 0.2


@pytest.mark.usefixtures("no_defaults")
def test_a_branch_that_is_never_the_best_is_learned_all_the_same() -> None:
    """Among all trials those of `ia3` and `houlsby` are worst; among its own, one dropout is better than another."""

    def of_houlsby(params: Params) -> float:
        far = abs(params["peft.houlsby.dropout"] - 0.1) if "peft.houlsby.dropout" in params else 0.0
        return (-10 if params["peft.method"] == "houlsby" else 0) - far

    study = Study(BRANCHES, Random())
    study.run(120, of_houlsby)
    study.search = Search(sampler=Tpe())
    found = []
    for seed in range(200):
        study.seed = seed
        drafted = study.draft(study.study.ask())
        assert drafted is not None
        found += [value for path, value in drafted.params.items() if path == "peft.houlsby.dropout"]
    assert len(found) >= 5
    assert mean(abs(value - 0.1) < 0.1 for value in found) > 0.6


def test_a_draft_depends_on_history_seed_and_number_alone() -> None:
    one, other = Study(BRANCHES, Tpe(startup_trials=5)), Study(BRANCHES, Tpe(startup_trials=5))
    assert one.run(12, score) == other.run(12, score)
    trial = one.study.ask()
    first, again = one.draft(trial), one.draft(trial)
    assert first is not None
    assert first == again
    assert one.study.get_trials()[-1].params == {}
    assert one.study.get_trials()[-1].system_attrs == {}
    one.seed = 1
    assert one.draft(trial) != first


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


@pytest.mark.parametrize("sampler", [Tpe(startup_trials=2), Random(), Grid()])
def test_every_configuration_comes_once_and_then_the_space_is_exhausted(sampler: Sampler) -> None:
    document = space_of(
        peft={"method": ["lora", "none"], "r": [4, 8]},
        freeze=["none", "freeze_encoder"],
        train={"epochs": {"low": 1, "high": 4}},
    )
    found = Study(document, sampler).run(20, lambda params: float(params["train.epochs"]))
    assert len(found) == len(set(map(identity, found))) == 4 * (2 + 2)


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


def test_other_samplers_see_running_trials_with_their_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two trials that are drawn while neither has ended are different, by a sampler that reckons with the first."""
    study = Study(BRANCHES, Tpe(startup_trials=0))
    study.run(20, score)
    trials = [study.study.ask() for _ in range(2)]
    drafts = []
    for trial in trials:
        drafted = study.draft(trial)
        assert drafted is not None
        store(trial, drafted)
        drafts.append(drafted)
    third = study.study.ask()
    before = study.draft(third)
    study.study.tell(trials[0], -100.0)
    assert drafts[0].params != drafts[1].params
    assert study.draft(third) is not None and before is not None


def test_a_stored_draft_is_read_back_whole_and_storing_it_again_changes_nothing(tmp_path: Any) -> None:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}")
    document = with_default_domains(BASE)
    trial = study.ask()
    drafted = draft(study, trial, document, Search(sampler=Random()), seed=5, seen=())
    assert drafted is not None
    for _ in range(2):
        store(trial, drafted)
        stored = study.get_trials()[0]
        assert stored.user_attrs == {"params": stored.params} == {"params": drafted.params}
        assert stored.distributions == drafted.distributions
    assert redraft(stored.user_attrs["params"], document)[:3] == drafted[:3]


def test_a_trial_has_all_of_its_parameters_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is written before the first parameter, and after what the sampler remembers."""
    study = Study(BRANCHES, Tpe(startup_trials=2))
    study.run(4, score)
    trial = study.study.ask()
    drafted = study.draft(trial)
    assert drafted is not None and drafted.notes
    calls: list[str] = []
    for name in ("set_trial_system_attr", "set_trial_user_attr", "set_trial_param"):
        monkeypatch.setattr(trial.storage, name, lambda *args, name=name: calls.append(name))
    store(trial, drafted)
    assert list(dict.fromkeys(calls)) == ["set_trial_system_attr", "set_trial_user_attr", "set_trial_param"]
    assert calls.count("set_trial_user_attr") == 1


def test_parameters_that_are_no_longer_legal_are_refused() -> None:
    document = space_of(peft={"method": ["lora", "none"]}, freeze=["none", "freeze_encoder"])
    with pytest.raises(ValueError, match=r"the stored parameters .*freeze_encoder.* are no longer legal"):
        redraft({"peft.method": "lora", "freeze.strategy": "freeze_encoder"}, document)


def test_equal_configurations_have_one_identity() -> None:
    assert identity({"a": 8, "b": True}) == identity({"b": True, "a": 8.0})
    assert identity({"a": 1, "b": 2}) != identity({"a": 2, "b": 1})
    assert identity({"a": True}) != identity({"a": 1})


DEFAULT_SPACE = with_default_domains(BASE)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_every_draft_from_the_default_space_is_legal_and_within_its_domains(seed: int) -> None:
    study = optuna.create_study()
    for _ in range(4):
        study.ask()
    drafted = draft(study, study.ask(), DEFAULT_SPACE, Search(sampler=Random()), seed=seed, seen=())
    assert drafted is not None
    for path, value in drafted.params.items():
        assert drafted.distributions[path]._contains(drafted.distributions[path].to_internal_repr(value))
    assert redraft(drafted.params, DEFAULT_SPACE).config == drafted.config
    assert set(drafted.params) <= set(Space(DEFAULT_SPACE).parameters)
