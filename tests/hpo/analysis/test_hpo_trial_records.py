"""What is said of a trial: out of optuna's storage and its own folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from stored_runs import finish, trial
from tunery.hpo.analysis.trial_records import beside, results_of, summarise, trial_record, values_of
from tunery.hpo.plan import Plan
from tunery.schema import RunConfig, RunResult
from tunery.schema.reading.document import Document, validate
from tunery.schema.results.record import Objective
from tunery.schema.results.run import Memory, Parameters, Progress, Seconds
from tunery.schema.space.sampled import with_domains
from tunery.store.folder import RunFolder

OBJECTIVES = ("f1_macro", "memory", "seconds", "parameters", "disk")
PARAMS: dict[str, Any] = {"optim.lr": 1e-4, "peft.target": '["query", "value"]'}
DISTRIBUTIONS: dict[str, Any] = {
    "optim.lr": FloatDistribution(1e-5, 1e-3, log=True),
    "peft.target": CategoricalDistribution(['["query", "value"]', '["query"]']),
}


def document(**search: Any) -> Document:
    return with_domains(
        {
            "task": {"kind": "classification"},
            "data": {"train": "train.jsonl"},
            "peft": {"method": "lora", "target": [["query", "value"], ["query"]]},
            "optim": {"lr": {"low": 1e-5, "high": 1e-3, "log": True}},
            "search": search,
        }
    )


def base(**search: Any) -> RunConfig:
    task: dict[str, Any] = {"task": {"kind": "classification"}, "data": {"train": "train.jsonl"}, "search": search}
    return validate(task)


def study_of(*states: TrialState, names: Sequence[str] = OBJECTIVES[:1], **given: Any) -> optuna.Study:
    study = optuna.create_study(directions=["maximize", *("minimize" for _ in names[1:])])
    for state in states:
        values = [0.5 + 0.1 * len(study.trials), *(7.0 for _ in names[1:])] if state is TrialState.COMPLETE else None
        waiting = state is TrialState.WAITING
        study.add_trial(
            create_trial(
                state=state,
                values=values,
                params={} if waiting else PARAMS,
                distributions={} if waiting else DISTRIBUTIONS,
                user_attrs=given,
            )
        )
    return study


def result(root: Path, number: int, **given: Any) -> RunResult:
    """Write, and change, the result of a trial that took known amounts of everything."""
    folder = RunFolder(trial(root, number))
    finish(folder, 0.5)
    plain = folder.result()
    assert plain is not None
    took = {
        "seconds": Seconds(train=7.0, total=9.0),
        "memory": Memory(host_peak_bytes=100),
        "parameters": Parameters(trainable=5, total=50, percent=10.0),
        "disk_bytes": 30,
        **given,
    }
    changed = plain.model_copy(update=took)
    folder.write_result(changed)
    return changed


def test_costs_are_told_by_name_for_the_objectives_that_were_asked_for(tmp_path: Path) -> None:
    found = result(tmp_path, 0)
    assert beside(found, OBJECTIVES) == {"memory": 100, "seconds": 7.0, "parameters": 5, "disk": 30}
    assert beside(found, ("f1_macro", "disk")) == {"disk": 30}
    assert values_of(found, ("f1_macro", "seconds")) == [0.5, 7.0]
    on_a_device = result(tmp_path, 0, memory=Memory(host_peak_bytes=100, device_peak_bytes=60))
    assert beside(on_a_device, OBJECTIVES)["memory"] == 60


def test_a_run_without_a_value_has_none_to_tell(tmp_path: Path) -> None:
    found = result(tmp_path, 0, objective=Objective(name="f1_macro", value=None, direction="maximize"))
    with pytest.raises(ValueError, match="a run without a value for each objective is not completed"):
        values_of(found, OBJECTIVES)


def test_of_several_objectives_the_first_is_the_value_and_the_others_are_beside_it(tmp_path: Path) -> None:
    search = {"objective": ["f1_macro", "memory", "seconds"]}
    result(tmp_path, 0)
    [frozen] = study_of(TrialState.COMPLETE, names=OBJECTIVES[:3], notes=["half the tokens"]).trials
    record = trial_record(frozen, tmp_path, document=document(**search), base=base(**search))
    assert (record.value, record.beside) == (0.5, {"memory": 100, "seconds": 7.0})
    assert record.notes == ("half the tokens",)
    assert record.params == {"optim.lr": 1e-4, "peft.target": ("query", "value")}


def test_a_running_trial_is_told_from_its_progress_and_one_without_a_folder_from_the_study(tmp_path: Path) -> None:
    running = RunFolder(trial(tmp_path, 0))
    running.path.mkdir(parents=True)
    running.write_progress(Progress(epochs=2.0, seconds=Seconds(total=3.0)))
    running.metrics.write_text(
        '{"step": 1, "epoch": 1.0, "name": "train/loss", "value": 0.9}\n'
        '{"step": 1, "epoch": 1.0, "name": "validation/f1_macro", "value": 0.4}\n'
        '{"step": 2, "epoch": 2.0, "name": "validation/accuracy", "value": 0.8}\n'
        '{"step": 2, "epoch": 2.0, "name": "validation/f1_macro", "value": null}\n'
    )
    known = {"seconds": 8.0, "epochs": 1.0, "reason": "it was bad", "beside": {}}
    first, second = study_of(TrialState.RUNNING, TrialState.PRUNED, spent=known).trials
    first.user_attrs, second.intermediate_values = {}, {1: 0.3, 3: 0.2}
    found = [trial_record(each, tmp_path, document=document(), base=base()) for each in (first, second)]
    assert [(each.status, each.epochs, each.seconds, each.history) for each in found] == [
        ("running", 2.0, 3.0, (0.4, None)),
        ("pruned", 1.0, 8.0, (0.3, None, 0.2)),
    ]
    assert found[1].reason == "it was bad" and found[1].value is None and found[0].beside == {}


def test_a_summary_counts_what_has_ended_and_leaves_out_what_waits(tmp_path: Path) -> None:
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.WAITING, TrialState.RUNNING, TrialState.FAIL)
    result(tmp_path, 0)
    search = {"objective": ["f1_macro", "disk"]}
    study = study_of(*states, names=("f1_macro", "disk"))
    plan = Plan(document(**search), base(**search), tmp_path, study, rows=60)
    found = summarise(plan, notes=("all were tried",))
    assert found.counts == {"completed": 1, "pruned": 1, "failed": 1, "running": 1, "total": 3}
    assert [record.number for record in found.trials] == [0, 1, 3, 4]
    assert found.objectives == ("f1_macro", "disk") and found.seconds == 9.0
    assert found.notes == ("all were tried",) and found.best is None


def test_only_trials_with_a_result_have_one(tmp_path: Path) -> None:
    expected = result(tmp_path, 1)
    assert results_of(tmp_path, [0, 1, 2]) == {1: expected}
