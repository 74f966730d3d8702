"""Results for a terminal."""

from pathlib import Path

import pytest

from report_records import make_comparison, make_empty_study, make_run, make_searched_study, make_study
from tunery.cli import show
from tunery.schema.config.task import CriteriaEvidenceTask
from tunery.schema.results.record import Objective
from tunery.schema.results.run import Baseline, Gain, Metrics
from tunery.schema.results.study import StudyResult


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def told(study: StudyResult, capsys: pytest.CaptureFixture[str]) -> list[str]:
    show.study(study, Path("runs/study"), as_json=False)
    return capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("wide")
def test_a_search_is_told_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    study = make_searched_study(60, params=12, objectives=("f1_macro", "memory", "seconds"))
    lines = told(study, capsys)
    first = study.rescored[0]
    assert lines[0].split()[:5] == ["rank", "number", "status", "value", "mean"]
    assert lines[1].split()[1:5] == [str(first.number), "completed", f"{first.values[0]:.4f}", f"{first.mean:.4f}"]
    text = "\n".join(lines)
    assert f"best: trial {first.number}, f1_macro validation {first.values[0]:.4f} (mean of 3 seeds" in text
    (importance,) = [line for line in lines if line.startswith("importance (PED-ANOVA / fANOVA): ")]
    assert importance.count(" % / ") == 5
    gains = [line for line in lines if line.startswith("ensemble: ")]
    assert (
        len(gains) == 2 and "weighted mean of trials" in gains[1] and "of the best single trial (+0.0064)" in gains[1]
    )
    assert "15 completed, 40 pruned, 5 failed; 2.5 h of run time" in lines
    assert "40 of 60 ended trials (67 %) were stopped early, all of them by epoch 3." in text
    assert "That saved an estimated 3.7 h." in text and "pruned: 35 by epoch 2, 40 by epoch 3" in lines
    assert f"{len(study.front)} trials are Pareto-optimal in macro F1, peak memory and training time" in text
    assert f"note: {study.notes[0]}" in lines and any("with notes: see leaderboard.csv" in line for line in lines)
    header = next(place for place, line in enumerate(lines) if line.split()[:2] == ["trial", "f1_macro"])
    assert int(lines[header + 1].split()[0]) in study.front


@pytest.mark.usefixtures("wide")
def test_what_makes_the_winner_doubtful_is_the_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    study = make_searched_study(60)
    alike = "all 15 completed trials give every row of validation the same answer"
    lines = told(
        study.model_copy(update={"doubts": (alike, "trial 3, the winner: [b]the model has not learned")}), capsys
    )
    assert lines[:2] == [f"doubtful: {alike}", "doubtful: trial 3, the winner: [b]the model has not learned"]
    assert lines[2:] == told(study, capsys)


@pytest.mark.usefixtures("wide")
def test_what_simple_models_reach_is_told_of_a_run_and_of_a_winner(capsys: pytest.CaptureFixture[str]) -> None:
    probe = Baseline(
        method="probe",
        metrics=Metrics(test={"f1_macro": 0.7}),
        seconds=9.0,
        gain=Gain(split="test", difference=0.05, low=0.02, high=0.08),
    )
    sentence = "probe: macro F1 0.7000 on test in 9.0 s; {} adds +0.0500 [+0.0200, +0.0800]"
    lines = told(make_study().model_copy(update={"baselines": (probe,)}), capsys)
    assert sentence.format("the winner") in lines
    run = make_run()
    show.result(run.model_copy(update={"baselines": (probe,), "notes": ("doubtful",)}), Path("run"), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "note: doubtful"
    assert any(line.startswith(sentence.format("this run")) for line in lines)


@pytest.mark.parametrize("columns", [20, 44, 80, 120])
def test_the_table_is_as_wide_as_the_terminal_and_prefers_what_is_important(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    study = make_searched_study(40, params=60)
    lines = told(study, capsys)
    table = lines[: lines.index("")]
    assert len(table) == 11 and max(map(len, table)) <= columns
    assert "value" in table[0] and "number" in table[0]
    assert ("  lr" in table[0]) == (columns >= 80)


def test_ensembles_that_gain_nothing_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    study = make_searched_study(40)
    worse = tuple(found.model_copy(update={"gain": 0.0}) for found in study.ensembles)
    lines = told(study.model_copy(update={"ensembles": worse}), capsys)
    (line,) = [line for line in lines if "ensemble" in line and not line.startswith("note")]
    assert line.startswith("no ensemble gained anything over its best member (mean of the answers, ")


def test_a_plain_study_says_nothing_of_what_it_has_not(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(told(make_study(12), capsys))
    for word in ("importance", "ensemble", "front", "note", "seeds"):
        assert word not in text


@pytest.mark.parametrize(("trials", "line"), [(0, "no trial; 0.0 s of run time"), (2, "2 failed; 6.0 s of run time")])
def test_a_study_without_a_winner_is_told(capsys: pytest.CaptureFixture[str], trials: int, line: str) -> None:
    lines = told(make_empty_study(trials=trials), capsys)
    assert line in lines and not any("best:" in text for text in lines)


@pytest.mark.parametrize(
    ("epochs", "best", "words"),
    [
        (5.0, 4, "best epoch 4 of 5;"),
        (0.3191, 1, "best epoch 1; 0.3191 epochs trained;"),
        (0.2, None, "0.2 epochs;"),
    ],
)
def test_a_run_that_ends_within_an_epoch_is_told_so(
    capsys: pytest.CaptureFixture[str], epochs: float, best: int | None, words: str
) -> None:
    show.result(make_run(epochs=epochs, best_epoch=best), Path("runs/run"), as_json=False)
    assert words in capsys.readouterr().out


def test_of_many_metrics_the_main_ones_and_the_objective_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = dict.fromkeys(CriteriaEvidenceTask.metrics, 0.5)
    run = make_run().model_copy(
        update={
            "config": {"task": {"kind": "criteria_evidence"}},
            "objective": Objective(name="evidence_exact", value=0.5, direction="maximize"),
            "metrics": Metrics(validation=metrics, test={**metrics, "evidence_sufficiency": 0.25}),
        }
    )
    show.result(run, Path("run"), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    table = [
        line.split()[0] for line in lines[1 : lines.index(next(line for line in lines if line.startswith("and ")))]
    ]
    main = {name for name in CriteriaEvidenceTask.main_metrics if name in metrics}
    assert set(table) == main | {"evidence_exact", "evidence_sufficiency"} and len(table) < len(metrics)
    assert f"and {len(metrics) + 1 - len(table)} more in result.json and in the report" in lines


def test_a_comparison_is_the_reports_own_table_within_100_columns(capsys: pytest.CaptureFixture[str]) -> None:
    result = make_comparison()
    show.comparison(result, Path("runs/compare"), as_json=False)
    table = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    assert max(map(len, table)) <= 100
    assert table[1].split()[:5] == ["full", "fine-tuning", "0.8632", "±", "0.0109"]
    assert any("< 0.001*" in line for line in table) and not any("0.210*" in line for line in table)


def test_no_name_of_a_model_is_cut_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("FORCE_COLOR", "1")
    known = {"family": "bert", "parameters": 277_453_056, "max_length": 512, "license": None, "gated": False}
    show.models([{"alias": "xlm-roberta-base", "hub": "me/" + "x" * 40, "where": "hub", **known}], as_json=False)
    printed = capsys.readouterr().out
    assert "xlm-roberta-base" in printed and printed.count("x") == 41 and "\N{HORIZONTAL ELLIPSIS}" not in printed


@pytest.mark.parametrize(("micro", "told"), [(0.9, False), (0.8, True)])
def test_micro_f1_is_told_where_it_is_not_accuracy(
    capsys: pytest.CaptureFixture[str], micro: float, told: bool
) -> None:
    show.metrics({"accuracy": 0.9, "f1_micro": micro}, of="split", name="test", as_json=False)
    assert ("f1_micro" in capsys.readouterr().out) == told
