"""A study: proposes, prunes, survives, keeps the best, says what happened."""

import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy import event
from sqlalchemy.engine import Engine
from transformers import TrainerCallback

from fast_and_slow import slow_but
from raising import raising
from tiny_runs import files_with, native, write_rows
from tunery import load, load_document
from tunery import search as run_search
from tunery.errors import (
    ConfigError,
    Damaged,
    DataError,
    ExportMismatch,
    FolderError,
    Interrupted,
    RequestError,
    RunError,
    StudyFailed,
)
from tunery.execution.in_process import InThisProcess
from tunery.execution.runner import Job, Outcome, Prune, Runner, Stop
from tunery.hpo.pruners.pruning import Pruning
from tunery.hpo.storage.database import close_study, open_study, sqlite_url
from tunery.hpo.storage.trial_queue import TrialQueue
from tunery.hpo.study import work
from tunery.schema.results.pareto import pareto_front
from tunery.schema.results.study import StudyResult, TrialRecord
from tunery.store.disk.files import remove_tree, size
from tunery.store.folder import RunFolder
from tunery.train.artifacts.publish import verify


def document(model: Path, folder: Path, **sections: Any) -> dict[str, Any]:
    return {
        "task": {"kind": "classification"},
        "data": write_rows(folder),
        "model": {"name": str(model), "max_length": 32, "precision": "fp32"},
        "peft": {"method": ["lora", "none"], "r": [2, 4]},
        "optim": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}},
        "train": {"epochs": 2, "batch_size": 8},
        "search": {"n_trials": 4, "pruner": "none", "baselines": []},
        **sections,
    }


TPE_FROM_THE_START = {"tpe": {"startup_trials": 1}}


class Watch:
    """Counts trials."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.records: list[TrialRecord] = []
        self.said: list[str] = []

    def started(self, title: str, *, number: int, total: int) -> None:
        self.begun.append(number - 1)

    def ended(self, record: TrialRecord) -> None:
        self.records.append(record)

    def say(self, text: str) -> None:
        self.said.append(text)


@final
class Here(Runner):
    """Trains in this process, with a callback of its own for some trials."""

    def __init__(self, callbacks: Mapping[int, TrainerCallback] | None = None) -> None:
        self.callbacks = callbacks or {}
        self.jobs: list[Job] = []

    def run(self, job: Job, *, prune: Prune, stop: Stop) -> Outcome:
        self.jobs.append(job)
        own = self.callbacks.get(int(job.folder.name))
        return InThisProcess([own] if own else []).run(job, prune=prune, stop=stop)

    def close(self) -> None:
        """Nothing."""


def search(document: dict[str, Any], *, out: Path, runner: Runner | None = None, **given: Any) -> StudyResult:
    return run_search(document, out=out, engine=runner or Here(), **given)


class Signal(TrainerCallback):
    """Sends SIGINT in one step."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 9:
            os.kill(os.getpid(), signal.SIGINT)


class Early(TrainerCallback):
    """Sends SIGINT in the first step."""

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)


class Fail(TrainerCallback):
    """Breaks at the first step."""

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        raise ValueError("no way")


def trajectory(result: StudyResult) -> list[tuple[Any, ...]]:
    return [(trial.number, trial.status, trial.params, trial.value, trial.history) for trial in result.trials]


def test_a_study_interrupted_twice_equals_one_that_was_not(tiny_bert: Path, tmp_path: Path) -> None:
    given = document(tiny_bert, tmp_path)
    whole = search(given, out=tmp_path / "whole")
    for number in (1, 2):
        with pytest.raises(Interrupted):
            search(given, out=tmp_path / "torn", runner=Here({number: Signal()}))
    torn = search(given, out=tmp_path / "torn")
    assert trajectory(torn) == trajectory(whole)
    assert whole.best is not None and torn.best is not None and torn.best.test == whole.best.test
    assert torn.counts == {"completed": 4, "pruned": 0, "failed": 0, "running": 0, "total": 4}


def test_what_a_study_leaves_behind(tiny_bert: Path, tmp_path: Path) -> None:
    out, watch = tmp_path / "study", Watch()
    result = search(document(tiny_bert, tmp_path), out=out, observer=watch)

    best = max(result.trials, key=lambda trial: (trial.value or 0.0, -(trial.loss or 0.0), -trial.number))
    assert result.best is not None and (result.best.number, result.best.value) == (best.number, best.value)
    assert {"accuracy", "f1_macro"} <= set(result.best.test)
    assert json.loads((out / "study.json").read_text()) == json.loads(result.model_dump_json())
    assert "trial" not in result.trials[0].params and result.trials[0].params["peft.method"] == "lora"
    assert all("peft.r" not in trial.params for trial in result.trials if trial.params["peft.method"] == "none")
    assert (out / "leaderboard.csv").read_text().count("\n") == 5
    assert "</html>" in (out / "report.html").read_text()
    assert [record.number for record in watch.records] == [0, 1, 2, 3]

    for number in range(4):
        trial = json.loads((out / "trials" / str(number) / "result.json").read_text())
        assert trial["status"] == "completed" and trial["metrics"]["test"] is None
    equals = [trial.number for trial in result.trials if trial.value == best.value]
    assert len(list((out / "objects").glob("*.safetensors"))) == len(equals[:2])  # checkpoint.co_best
    weights = size(out / "objects") + size(out / "best") - (out / "best" / "README.md").stat().st_size
    assert result.disk.bytes == weights < result.disk.keep_all_bytes
    assert load(out).predict(["it was great"])[0].label in ("good", "bad")

    written = load_document(out / "config.yaml")
    assert written["schedule"] == {"name": "linear", "warmup": 0.06} and written["search"]["n_trials"] == 4
    assert search(written, out=out) == result


def test_the_worst_rows_are_the_winners_and_their_texts_go_when_told(tiny_bert: Path, tmp_path: Path) -> None:
    mark, short = "quokka", {"train": {"epochs": 1, "batch_size": 8}, "search": {"n_trials": 2, "pruner": "none"}}
    given = {**document(tiny_bert, tmp_path, **short), "data": write_rows(tmp_path, rows=16, mark=mark)}
    out, bare = tmp_path / "study", tmp_path / "bare"
    result = search(given, out=out)
    assert result.best is not None
    name = f"trials/{result.best.number}/worst_rows.json"
    assert files_with(mark, out) == ["report.html", name]
    assert [str(path.relative_to(out)) for path in out.rglob("worst_rows.json")] == [name]
    assert search(given, out=out, texts=False) == result and files_with(mark, out) == []
    assert "Worst rows" in (out / "report.html").read_text()
    more = {**given, "search": {"n_trials": 3, "pruner": "none"}}
    assert search(given, out=bare, texts=False).best is not None and files_with(mark, bare) == []
    assert (bare / name).exists() and "Worst rows" in (bare / "report.html").read_text()
    search(given, out=tmp_path / "later")
    with pytest.raises(Interrupted):
        search(more, out=tmp_path / "later", texts=False, runner=Here({2: Early()}))
    assert files_with(mark, tmp_path / "later") == []


def test_more_trials_extend_a_study_and_the_same_number_trains_nothing(tiny_bert: Path, tmp_path: Path) -> None:
    given = document(tiny_bert, tmp_path, search={"n_trials": 2, "pruner": "none"})
    first = search(given, out=tmp_path / "study")
    again = Watch()
    assert search(given, out=tmp_path / "study", observer=again) == first and again.begun == []
    more = Watch()
    larger = {**given, "name": "renamed", "search": {"n_trials": 3, "pruner": "none"}}
    extended = search(larger, out=tmp_path / "study", observer=more)
    assert more.begun == [2] and trajectory(extended)[:2] == trajectory(first)


def test_trials_of_other_rows_do_not_come_into_a_study(tiny_bert: Path, tmp_path: Path) -> None:
    """Neither in another call, nor in another folder with the same database, nor while the study goes on."""
    given = document(tiny_bert, tmp_path, search={"n_trials": 1, "pruner": "none"})
    out, larger, again = tmp_path / "study", {**given, "search": {"n_trials": 2, "pruner": "none"}}, Watch()
    first = search(given, out=out)
    train = Path(given["data"]["train"])
    rows = train.read_text()
    train.write_text(rows.replace('"good"', '"fine"').replace('"bad"', '"good"').replace('"fine"', '"bad"'))
    assert search(given, out=out, observer=again) == first
    assert "nothing was trained" in again.said[0] and "train has 60 rows as before, but not the same" in again.said[1]
    with pytest.raises(DataError, match="other data: train has 60 rows as before, but not the same"):
        search(larger, out=out)
    url = f"sqlite:///{out / 'study.db'}"
    with pytest.raises(DataError, match="the study 'run' was begun with other data"):
        search(larger, out=tmp_path / "other", storage=url)
    with pytest.raises(DataError, match="the study 'run' was begun with other data"):
        work(url, out=tmp_path / "worker")
    train.write_text(rows)
    with pytest.raises(StudyFailed, match="other data: train had 60 rows and has 40"):
        changed = {number: Edit(train) for number in range(9)}
        search({**larger, "search": {**larger["search"], "n_trials": 9}}, out=out, runner=Here(changed))


class Edit(TrainerCallback):
    """Cuts the training file when a run ends."""

    def __init__(self, train: Path) -> None:
        self._train = train

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self._train.write_text("".join(self._train.read_text().splitlines(keepends=True)[:40]))


def test_simple_models_are_measured_once_and_stand_beside_the_winner(tiny_bert: Path, tmp_path: Path) -> None:
    watch = Watch()
    given = document(tiny_bert, tmp_path, search={"n_trials": 1, "pruner": "none"})
    result = search(given, out=tmp_path / "study", observer=watch)
    assert [baseline.method for baseline in result.baselines] == ["majority", "probe"]
    assert result.best is not None
    for baseline in result.baselines:
        assert baseline.gain is not None and baseline.metrics.test is not None
        difference = result.best.test["f1_macro"] - baseline.metrics.test["f1_macro"]
        assert baseline.gain.difference == pytest.approx(difference) and baseline.gain.low is not None
    assert sum(line.startswith(("majority: ", "probe: ")) for line in watch.said) == 2
    more = search({**given, "search": {"n_trials": 2, "pruner": "none"}}, out=tmp_path / "study", observer=watch)
    assert sum(line.startswith(("majority: ", "probe: ")) for line in watch.said) == 2
    assert [baseline.metrics for baseline in more.baselines] == [baseline.metrics for baseline in result.baselines]


def test_the_median_pruner_fires_and_the_trial_says_why(tiny_bert: Path, tmp_path: Path) -> None:
    """Trial 0 learns; later trials with a learning rate of nothing fall behind its curve."""
    given = document(
        tiny_bert,
        tmp_path,
        peft={"method": "none"},
        optim={"lr": [1e-2, 9e-3, 1e-9, 2e-9, 3e-9, 4e-9], "head_lr": 3e-3},
        train={"epochs": 6, "batch_size": 8},
        search={
            "n_trials": 6,
            "sampler": "random",
            "pruner": {"name": "median", "startup_trials": 1},
            "baselines": [],
        },
    )
    given["model"] = native(tiny_bert)
    result = search(given, out=tmp_path / "study")
    pruned = [trial for trial in result.trials if trial.status == "pruned"]
    assert pruned and all(trial.params["optim.lr"] < 1e-8 for trial in pruned)
    assert all(len(trial.history) < 6 for trial in pruned)
    assert all("the median pruner stopped it after epoch" in (trial.reason or "") for trial in pruned)
    assert sum(result.pruned_by_epoch.values()) == len(pruned)
    written = json.loads((tmp_path / "study" / "trials" / str(pruned[0].number) / "result.json").read_text())
    assert written["status"] == "pruned" and written["reason"] == pruned[0].reason and written["seconds"]["total"] > 0


def test_two_metrics_are_two_objectives(tiny_bert: Path, tmp_path: Path) -> None:
    given = document(tiny_bert, tmp_path, search={"n_trials": 3, "baselines": [], "objective": ["f1_macro", "loss"]})
    found = search(given, out=tmp_path / "study")
    assert (found.objectives, found.directions) == (("f1_macro", "loss"), ("maximize", "minimize"))
    points = {trial.number: (-(trial.value or 0.0), trial.beside["loss"]) for trial in found.trials}
    assert found.front == tuple(sorted(pareto_front(points)))
    stored = optuna.load_study(study_name=None, storage=sqlite_url(tmp_path / "study"))
    assert {trial.number: trial.values for trial in stored.trials} == {n: [-a, b] for n, (a, b) in points.items()}
    assert all(trial.beside["loss"] == trial.loss for trial in found.trials)
    page = (tmp_path / "study" / "report.html").read_text()
    assert "Beside it counts: loss (less is better)." in page


def test_more_of_the_best_are_kept_when_asked_and_time_ends_a_study(tiny_bert: Path, tmp_path: Path) -> None:
    given = document(tiny_bert, tmp_path, checkpoint={"keep_best": 2})
    search(given, out=tmp_path / "two")
    assert len(list((tmp_path / "two" / "objects").glob("*.safetensors"))) == 2
    brief = document(tiny_bert, tmp_path, search={"n_trials": 50, "timeout": 0.01, "pruner": "none"})
    assert search(brief, out=tmp_path / "brief").counts["total"] == 1


def test_a_death_between_recording_and_telling_keeps_the_verdict(tiny_bert: Path, tmp_path: Path) -> None:
    given = document(tiny_bert, tmp_path, search={"n_trials": 2, "pruner": "none"})
    with pytest.raises(SystemExit), raising(SystemExit(), TrialQueue.tell):
        search(given, out=tmp_path / "study", runner=Here({0: Fail()}))
    watch = Watch()
    result = search(given, out=tmp_path / "study", observer=watch)
    assert [(trial.status, trial.reason) for trial in result.trials] == [
        ("failed", "ValueError: no way"),
        ("completed", None),
    ]


def test_a_bad_trial_does_not_end_a_study_but_too_many_in_a_row_do(tiny_bert: Path, tmp_path: Path) -> None:
    given = document(tiny_bert, tmp_path, search={"n_trials": 3, "pruner": "none", "max_failures": 2})
    result = search(given, out=tmp_path / "one", runner=Here({1: Fail()}))
    assert [trial.status for trial in result.trials] == ["completed", "failed", "completed"]
    assert result.trials[1].reason == "ValueError: no way"
    with pytest.raises(StudyFailed, match="2 trials in a row failed, the last with: ValueError: no way"):
        search(given, out=tmp_path / "all", runner=Here({number: Fail() for number in range(3)}))
    assert (tmp_path / "all" / "report.html").exists()


def test_illegal_combinations_are_never_proposed(tiny_bert: Path, tmp_path: Path) -> None:
    given = document(
        tiny_bert,
        tmp_path,
        freeze={"strategy": ["none", "freeze_encoder"]},
        search={"n_trials": 8, "pruner": "none", "sampler": "random", "baselines": []},
        train={"max_steps": 1},
    )
    result = search(given, out=tmp_path / "study")
    pairs = {(trial.params["peft.method"], trial.params["freeze.strategy"]) for trial in result.trials}
    assert pairs == {("lora", "none"), ("none", "none"), ("none", "freeze_encoder")}
    assert {trial.status for trial in result.trials} == {"completed"}


def test_a_config_without_ranges_is_searched_over_the_schemas_own(tiny_bert: Path, tmp_path: Path) -> None:
    given = document(
        tiny_bert, tmp_path, peft="lora", optim={"name": "adamw"}, train={"max_steps": 1}, search={"n_trials": 1}
    )
    result = search(given, out=tmp_path / "study")
    assert {"optim.lr", "peft.r", "schedule.warmup"} <= set(result.trials[0].params)
    assert result.trials[0].params["optim.lr"] == 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optim": {"lr": {"low": 1e-2, "high": 1e-3}}}, "optim.lr: .*`low <= high` must hold"),
        ({"peft": {"method": ["lora", "ia4"]}}, "peft.method: unknown choice 'ia4'"),
        ({"search": {"objective": "f1macro"}}, "did you mean 'f1_macro'"),
    ],
)
def test_a_wrong_space_is_refused_before_anything_is_written(
    tiny_bert: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        search(document(tiny_bert, tmp_path, **change), out=tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_another_space_on_the_same_folder_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    given = document(tiny_bert, tmp_path, search={"n_trials": 1})
    search(given, out=tmp_path / "study")
    with pytest.raises(FolderError, match="another config"):
        search({**given, "peft": {"method": "none"}}, out=tmp_path / "study")


def test_any_tool_can_open_the_study(tiny_bert: Path, tmp_path: Path) -> None:
    search(document(tiny_bert, tmp_path, search={"n_trials": 2}), out=tmp_path / "study")
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 'study' / 'study.db'}")
    assert len(study.trials) == 2 and len(study.trials[0].intermediate_values) == 2


def test_optimizers_schedules_and_losses_are_choices_like_any_other(tiny_bert: Path, tmp_path: Path) -> None:
    sections = {
        "task": {"kind": "classification", "loss": {"name": ["ce", "focal"], "gamma": [1.0, 3.0]}},
        "peft": "lora",
        "optim": {"name": ["adamw", "lion", "sgd_momentum"], "nesterov": [True, False]},
        "schedule": {"name": ["one_cycle", "cosine_restart"], "T_mult": [1, 2]},
        "train": {"max_steps": 2},
        "search": {"n_trials": 7, "pruner": "none", "sampler": "random", "baselines": []},
    }
    result = search(document(tiny_bert, tmp_path, **sections), out=tmp_path / "study")
    assert {trial.status for trial in result.trials} == {"completed"}
    for trial in result.trials:
        params = trial.params
        assert ("task.loss.gamma" in params) == (params["task.loss.name"] == "focal")
        assert ("optim.nesterov" in params) == (params["optim.name"] == "sgd_momentum")
        assert ("schedule.T_mult" in params) == (params["schedule.name"] == "cosine_restart")
    assert {trial.params["optim.name"] for trial in result.trials} >= {"adamw", "lion"}


def test_a_database_that_cannot_be_written_fails_no_trial(tiny_bert: Path, tmp_path: Path) -> None:
    full = StorageInternalError()
    full.__cause__ = OSError("database or disk is full")
    given = document(tiny_bert, tmp_path, search={"n_trials": 2, "pruner": "none"})
    refused = pytest.raises(RunError, match=r"database could not .*: database or disk is")
    with refused, raising(full, Pruning.prune):
        search(given, out=tmp_path / "study")
    result = search(given, out=tmp_path / "study")
    assert [trial.status for trial in result.trials] == ["completed", "completed"]


def test_a_trial_whose_export_answers_otherwise_has_no_value(tiny_bert: Path, tmp_path: Path) -> None:
    given = document(tiny_bert, tmp_path, search={"n_trials": 2, "pruner": "none"})
    with raising(ExportMismatch("its head was lost"), verify):
        result = search(given, out=tmp_path / "study")
    assert [(trial.status, trial.reason) for trial in result.trials] == [
        ("failed", "ExportMismatch: its head was lost"),
        ("completed", None),
    ]
    assert {record.digest for record in RunFolder(tmp_path / "study" / "trials" / "1").kept()} == {
        path.stem for path in (tmp_path / "study" / "objects").glob("*.safetensors")
    }


def test_a_winner_that_was_damaged_is_named_with_the_remedy(tiny_bert: Path, tmp_path: Path) -> None:
    given, out = document(tiny_bert, tmp_path, search={"n_trials": 1, "pruner": "none"}), tmp_path / "study"
    search(given, out=out)
    remove_tree(out / "best")
    for path in (out / "objects").glob("*.safetensors"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(bytes(content))
    given["search"]["n_trials"] = 1
    (out / "study.json").unlink()
    with pytest.raises(Damaged, match=r"trial 0 won, but .*; `tunery train .*config.yaml --out DIR` trains it again"):
        search(given, out=out)


@pytest.mark.parametrize("sampler", slow_but(["tpe", "random"], "tpe"))
def test_a_death_among_the_proposals_of_a_trial_changes_none_of_them(
    tiny_bert: Path, tmp_path: Path, sampler: str
) -> None:
    """The process dies before each parameter of each trial is stored, once."""
    spec = {"n_trials": 4, "pruner": "none", "sampler": {"name": sampler, **TPE_FROM_THE_START.get(sampler, {})}}
    given = document(tiny_bert, tmp_path, search=spec, train={"epochs": 1, "max_steps": 1})
    whole = search(given, out=tmp_path / "whole")
    deaths: set[str] = set()

    def die_once(connection: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("INSERT INTO trial_params") and str(values) not in deaths:
            deaths.add(str(values))
            raise SystemExit

    event.listen(Engine, "before_cursor_execute", die_once)
    try:
        again = None
        while again is None:
            with suppress(SystemExit):
                again = search(given, out=tmp_path / "again")
    finally:
        event.remove(Engine, "before_cursor_execute", die_once)
    assert len(deaths) >= 6
    assert [trial.params for trial in again.trials] == [trial.params for trial in whole.trials]


@pytest.mark.parametrize("name", ["../../x", "..", "/x", "a/b", "a/", ""])
def test_a_worker_writes_to_no_folder_that_the_database_chose(tmp_path: Path, name: str) -> None:
    study = open_study(sqlite_url(tmp_path), name=name, directions=["maximize"])
    study.set_user_attr("config", {"task": {"kind": "classification"}})
    close_study(study)
    with pytest.raises(RequestError, match=r"writes to runs/NAME, but the study's name is .*; give it a folder"):
        work(sqlite_url(tmp_path))


def test_a_worker_needs_a_study_that_tunery_began(tmp_path: Path) -> None:
    close_study(open_study(sqlite_url(tmp_path), name="other", directions=["maximize"]))
    with pytest.raises(RequestError, match="'other' must be one that `tunery search` began, but has no config"):
        work(sqlite_url(tmp_path))


def test_a_study_of_another_config_in_the_database_is_not_mixed_with(tiny_bert: Path, tmp_path: Path) -> None:
    url, out = sqlite_url(tmp_path), tmp_path / "out"
    study = open_study(url, name="run", directions=["maximize"])
    study.set_user_attr("config", {**document(tiny_bert, tmp_path), "seed": 5})
    close_study(study)
    with pytest.raises(
        RequestError, match=r"the study 'run' in the database has another config \(.*\); give this one another"
    ):
        search(document(tiny_bert, tmp_path), out=out, storage=url)
    assert not (out / "trials").exists()
