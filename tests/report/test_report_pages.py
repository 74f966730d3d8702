"""The pages: what they say, that they are whole, safe and self-contained."""

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from page_reader import ATTACK, Page, checked
from report_records import make_empty_study, make_lines, make_run, make_study
from tunery.report import run_html, study_html
from tunery.report.charts.figure import VARIABLES
from tunery.report.text.formatting import METRIC_NAMES, duration, listed, percent, size
from tunery.schema.results.run import Metrics, PretrainRecord, RunResult
from tunery.schema.results.study import Importance, Rescored, StudyResult
from tunery.tasks.table import TASKS


def study_page(study: StudyResult, results: dict[int, RunResult] | None = None) -> Page:
    return checked(study_html(study, results=results or {}))


def run_page(result: RunResult, lines: list[dict[str, object]]) -> Page:
    return checked(run_html(result, metrics=lines))


@pytest.fixture(scope="module")
def sixty() -> tuple[StudyResult, Page]:
    """A study of 60 trials and its page."""
    study = make_study()
    assert study.best is not None
    return study, study_page(study, {study.best.number: make_run()})


def test_the_headline_says_who_won_and_what_it_cost(sixty: tuple[StudyResult, Page]):
    study, page = sixty
    assert study.best is not None
    best, words = study.best, " ".join(text for _, text in page.texts)
    value, test = f"{best.value:.4f}", f"{best.test['f1_macro']:.4f}"
    assert page.text_of("h1") == [f"Trial {best.number} won with macro F1 {value} on validation and {test} on test."]
    assert "Of 60 trials, 15 completed, 40 were pruned and 5 failed, in 2.5 h of run time." in words
    assert "saved an estimated 3.7 h" in words
    assert "99.5 % saved" in words
    assert page.text_of("h2") == [
        "Leaderboard",
        "Best config",
        "History",
        "Learning curves",
        "Pruning",
        "Slices",
        "Parameters",
        f"Trial {best.number} in detail",
        "Data",
        "Environment",
    ]


def test_the_searched_values_are_marked_in_the_best_config(sixty: tuple[StudyResult, Page]):
    study, page = sixty
    assert study.best is not None
    params = study.trials[study.best.number].params
    marked = page.text_of("mark")
    assert len(marked) == len(params)
    assert f"  r: {params['peft.r']}" in marked


def test_every_trial_and_reason_is_in_the_table(sixty: tuple[StudyResult, Page]):
    study, page = sixty
    assert {trial.reason for trial in study.trials if trial.reason} <= set(page.text_of("td"))


def test_charts_have_text_and_only_colours_of_the_page(sixty: tuple[StudyResult, Page]):
    page = sixty[1]
    css = (Path(sys.modules["tunery.report"].__file__ or "").parent / "templates" / "page.css").read_text()
    assert page.count("svg") == 10
    assert "macro F1" in page.text_of("text")
    styles = "".join(attributes.get("style") or "" for tag, attributes in page.tags if tag in ("path", "text", "use"))
    assert not re.search(r"#[0-9a-f]{6}", styles)
    assert set(re.findall(r"var\(--(\w+)\)", styles)) <= set(VARIABLES)
    assert all(css.count(f"--{variable}:") == 3 for variable in VARIABLES if variable not in ("panel", "page"))


def test_markup_in_names_reasons_and_values_stays_text():
    study = make_study(12, name=ATTACK)
    assert study.best is not None
    trials = tuple(
        t.model_copy(
            update={
                "reason": ATTACK,
                "notes": (ATTACK,),
                "params": {**t.params, f"model.{ATTACK}": f"{ATTACK}{t.number % 3}"},
            }
        )
        for t in study.trials
    )
    best = study.best.model_copy(
        update={"config": {"name": ATTACK, ATTACK: [ATTACK]}, "test": {"per_label": {ATTACK: {"f1": 0.5}}}}
    )
    run = make_run(config={"name": ATTACK}, reason=ATTACK, notes=(f"note {ATTACK}",))
    more = {
        "doubts": (f"doubt {ATTACK}",),
        "notes": (ATTACK,),
        "objectives": ("f1_macro", "memory"),
        "directions": ("maximize", "minimize"),
        "importance": {"fanova": (Importance(path=f"model.{ATTACK}", share=1.0, trials=9),)},
        "rescored": (Rescored(number=best.number, seeds=(0, 1), values=(0.5, 0.6), mean=0.55),),
    }
    page = study_page(study.model_copy(update={"trials": trials, "best": best, **more}), {best.number: run})
    assert {ATTACK, f"doubt {ATTACK}"} <= set(page.text_of("li")) and f"model.{ATTACK}" in page.text_of("code")
    assert page.text_of("title") == [f"{ATTACK} · study"]
    assert ATTACK in page.text_of("td")
    alone = run_page(run, make_lines())
    assert ATTACK in "".join(alone.text_of("p")) and f"note {ATTACK}" in alone.text_of("li")


@pytest.mark.parametrize(("trials", "status"), [(0, "failed"), (2, "failed"), (1, "running")])
def test_a_study_without_a_winner_says_so(trials: int, status: str):
    page = study_page(make_empty_study(status, trials=trials))
    assert page.text_of("h1") == ["No trial has completed yet." if status == "running" else "No trial completed."]
    assert page.count("svg") == 0


def test_one_trial_is_enough():
    assert study_page(make_study(1, seed=2)).count("svg") == 6


def test_null_and_nan_values_are_gaps():
    study = make_study(8)
    assert study.best is not None
    odd = study.trials[0].model_copy(
        update={"value": None, "history": (None, math.nan, 0.5, None), "params": {"optim.lr": math.nan}}
    )
    best = study.best.model_copy(update={"test": {"f1_macro": None, "per_label": {"a": {"f1": None}}}})
    changed = study.model_copy(update={"trials": (odd, *study.trials[1:]), "best": best})
    page = study_page(changed)
    assert page.text_of("h1")[0].endswith("on validation.")
    assert not [a["d"] for tag, a in page.tags if tag == "path" and "nan" in (a.get("d") or "")]


def test_a_minimised_objective_is_called_so():
    study = make_study(6).model_copy(update={"objective": "loss", "direction": "minimize"})
    assert any("lower is better" in text for text in study_page(study).text_of("p"))


@pytest.mark.parametrize(("labels", "collapsed"), [(5, False), (77, True)])
def test_many_labels_are_behind_a_click(labels: int, collapsed: bool):
    summaries = study_page(make_study(12, labels=labels)).text_of("summary")
    assert summaries == (["All 77 labels"] if collapsed else [])


def test_counts_of_rows_are_whole_and_scores_are_not():
    rows = {"a": {"precision": 1.0, "f1": 1.0, "support": 1, "predicted": 0}}
    run = make_run(metrics=Metrics(validation={}, test={"f1_macro": 1.0, "per_label": rows}))
    assert run_page(run, []).text_of("td")[2:7] == ["a", "1.0000", "1.0000", "1", "0"]


def test_micro_f1_that_is_accuracy_is_told_once():
    once = make_run(
        metrics=Metrics(validation={"f1_micro": 0.5, "accuracy": 0.5}, test={"f1_micro": 0.6, "accuracy": 0.6})
    )
    assert "micro F1" not in run_page(once, []).text_of("td")
    other = make_run(metrics=Metrics(validation={"f1_micro": 0.5}))
    assert "micro F1" in run_page(other, []).text_of("td")


def test_a_precision_is_named_once_and_code_has_no_backticks():
    run = make_run()
    assert run.environment is not None and run.data is not None
    given = {"precision": "fp32", "precision_reason": "fp32: the CPU has no bf16 matrix units (AMX)"}
    data = run.data.model_copy(update={"findings": ("write `data.allow` twice", "one ` alone")})
    page = run_page(run.model_copy(update={"environment": run.environment.model_copy(update=given), "data": data}), [])
    assert given["precision_reason"] in page.text_of("dd") and "data.allow" in page.text_of("code")
    assert "one ` alone" in page.text_of("li")


def test_the_same_study_gives_the_same_bytes():
    assert study_html(make_study(12)) == study_html(make_study(12))


def test_a_run_page_shows_scores_and_curves():
    page = run_page(make_run(), make_lines())
    assert page.text_of("h1") == ["The run reached macro F1 0.8423 on validation and 0.8323 on test."]
    sections = ["Loss", "Validation macro F1", "Learning rate", "Scores", "Config", "Data", "Environment"]
    assert page.text_of("h2") == sections
    assert page.count("svg") == 6
    short = run_html(make_run(), metrics=[line for line in make_lines() if line["name"] != "train/loss"])
    assert "training, smoothed" in run_html(make_run(), metrics=make_lines())
    assert "training, smoothed" not in short and "Loss" in short  # a legend names what is drawn


def test_a_page_says_where_training_and_validation_loss_differ_in_kind():
    note = "Training minimises {}; the validation line is plain cross-entropy, so the two differ in kind."
    kinds = {
        "focal": {"task": {"loss": {"name": "focal"}}},
        "ce with class weights": {"task": {"loss": {"name": "ce", "class_weights": "balanced"}}},
        "bce with label smoothing 0.1": {"task": {"loss": {"name": "bce"}}, "regularization": {"label_smoothing": 0.1}},
    }
    for said, config in kinds.items():
        assert note.format(said) in run_page(make_run(config=config), make_lines()).text_of("p")
    plain = make_run(config={"task": {"loss": {"name": "ce", "class_weights": None}}})
    assert not [text for text in run_page(plain, make_lines()).text_of("p") if text.startswith("Training minimises")]


def test_a_failed_run_without_anything_says_why():
    run = make_run(value=None, status="failed", reason="NonFiniteLoss", data=None, environment=None, parameters=None)
    page = run_page(run, [{"step": 1, "epoch": 0.1, "name": "train/loss", "value": None}])
    assert page.text_of("h1") == ["The run failed without a value for macro F1."]
    assert "Reason: NonFiniteLoss" in page.text_of("p")


def test_every_metric_has_words():
    assert {name for spec in TASKS for name in spec.metrics} <= set(METRIC_NAMES)


def test_words_for_numbers():
    spoken = [duration(8.21), duration(600), duration(13_320), size(999), size(1_234_567), percent(0.995), percent(0.5)]
    spoken = [text.replace("\N{NO-BREAK SPACE}", " ") for text in spoken]
    assert spoken == ["8.2 s", "10 min", "3.7 h", "999 B", "1.23 MB", "99.5 %", "50 %"]
    nearly = [size(999.4), size(999.7), size(999_499), size(3e15), percent(0.99999), percent(1.0), percent(0.00001)]
    spoken = [text.replace("\N{NO-BREAK SPACE}", " ") for text in nearly]
    assert spoken == ["999 B", "1 kB", "999 kB", "3,000.0 TB", "99.9 %", "100 %", "0.1 %"]
    assert (listed(["a"]), listed(["a", "b", "c"])) == ("a", "a, b and c")


def test_importing_the_report_is_light():
    code = "import sys, tunery.report; print(sorted({'matplotlib', 'torch', 'optuna'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_what_a_base_learned_before_is_shown_with_the_run_and_with_the_winner_of_a_study():
    dapt = PretrainRecord(
        name="dapt", digest="0" * 12, texts=950, left_out=3, steps=120, epoch=2, losses=(3.5, 2.25, 2.5), seconds=90
    ).model_copy(update={"disk_bytes": 2_000_000})
    tapt = PretrainRecord(name="tapt", digest="1" * 12, texts=57, steps=4, epoch=1, losses=(2.0,), seconds=5)
    run = make_run().model_copy(update={"pretraining": (dapt, tapt)})
    page = run_page(run, make_lines())
    assert "Continued pretraining" in page.text_of("h2")
    html = run_html(run, metrics=make_lines())
    assert f", after {duration(95)} of continued pretraining." in html
    assert "loss of held-out texts 2.2500, 3.5000 after its first epoch" in html
    assert "3 that are nearly scored ones left out" in html and f"{duration(90)}, {size(2_000_000)} kept" in html
    assert "Pretraining (tapt): 4 steps (1 epoch) on 57 texts; loss of held-out texts 2.0000; " in html
    assert "Loss of held-out texts of dapt" in html
    assert "Loss of held-out texts of tapt" not in html  # one epoch makes no line
    study = make_study()
    assert study.best is not None
    assert "Continued pretraining" in study_page(study, {study.best.number: run}).text_of("h2")
    assert "Continued pretraining" not in run_page(make_run(), make_lines()).text_of("h2")
