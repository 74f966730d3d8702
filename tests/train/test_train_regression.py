"""Numbers and levels all the way: trained, exported, read back, predicted into a file, joined."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tiny_runs import config, native, write_number_rows
from tunery import load, search
from tunery.data.examples import Example
from tunery.errors import ConfigError, DataError, ModelError, RequestError
from tunery.hpo.analysis.ensemble import ensemble
from tunery.pages import write_page
from tunery.schema.reading.document import validate
from tunery.schema.space.default import space_of
from tunery.schema.space.sampled import domains
from tunery.store.exported import CARD
from tunery.train.fit import fit
from tunery.train.predict.inference import evaluate
from tunery.train.predict.predict_file import Answer, predict_file

TEXTS = ["great great love the film 3", "sad bad terrible we"]
LONG = {"train": {"epochs": 6, "batch_size": 8, "baselines": ["majority", "tfidf", "probe"]}}


def task_of(*, levels: bool) -> dict[str, Any]:
    return {"kind": "regression", "ordinal": levels}


@pytest.mark.parametrize("levels", [False, True])
def test_a_run_learns_and_its_export_says_the_same(levels: bool, tiny_bert: Path, tmp_path: Path) -> None:
    files = write_number_rows(tmp_path, levels=levels, rows=160)
    result = fit(
        config(str(tiny_bert), files, task=task_of(levels=levels), **LONG), out=tmp_path / "run", baselines=True
    )
    test = result.metrics.test
    assert test is not None and test["spearman"] > 0.8 and test["r2"] > 0.7
    assert 0.7 <= test["interval_coverage"] <= 1 and test["interval_width"] > 0
    assert {one.method for one in result.baselines} == {"majority", "tfidf", "probe"}
    by_method = {one.method: one.metrics.test or {} for one in result.baselines}
    assert by_method["majority"]["spearman"] is None and abs(by_method["majority"]["r2"]) < 0.2
    assert by_method["tfidf"]["spearman"] > 0.8, "ridge regression counts good and bad words"
    assert evaluate(tmp_path / "run") == test
    assert result.data is not None and result.data.splits["train"].numbers is not None
    good, bad = load(tmp_path / "run").predict(TEXTS)
    assert bad.low <= bad.value < good.value <= good.high  # type: ignore[operator]
    page = (write_page(tmp_path / "run") or Path()).read_text()
    assert "intervals are" in page and ("Confusion matrix" if levels else "row by row") in page


def test_transformers_alone_reads_the_number(tiny_bert: Path, tmp_path: Path) -> None:
    files = write_number_rows(tmp_path)
    given = config(str(tiny_bert), files, task="regression", model=native(tiny_bert))
    fit(given, out=tmp_path / "run")
    best, predictor = tmp_path / "run" / "best", load(tmp_path / "run")
    plain = AutoModelForSequenceClassification.from_pretrained(best).eval()
    assert plain.config.problem_type == "regression" and plain.config.num_labels == 1
    batch = AutoTokenizer.from_pretrained(best)(TEXTS, return_tensors="pt", padding=True)
    with torch.no_grad():
        standardised = plain(**batch).logits[:, 0].numpy()
    card = json.loads((best / CARD).read_text())
    mean, deviation = (float(card["task"]["settings"][key]) for key in ("mean", "standard_deviation"))
    values = [one.value for one in predictor.predict(TEXTS)]
    assert values == pytest.approx(mean + deviation * standardised, rel=1e-4)
    assert card["task"]["state"]["conformal_quantile"] > 0 and card["task"]["labels"] == []


@pytest.mark.parametrize("levels", [False, True])
@pytest.mark.parametrize("method", ["tfidf", "majority", "probe"])
def test_simple_models_are_runs_of_their_own(method: str, levels: bool, tiny_bert: Path, tmp_path: Path) -> None:
    files = write_number_rows(tmp_path, levels=levels)
    given = config(str(tiny_bert), files, task=task_of(levels=levels), peft=method, search={"objective": "mse"})
    result = fit(given, out=tmp_path / "run")
    assert result.status == "completed" and result.metrics.test == evaluate(tmp_path / "run")
    train = [json.loads(line)["label"] for line in Path(files["train"]).read_text().splitlines()]
    (first, second) = load(tmp_path / "run").predict(TEXTS)
    if method == "majority":
        expected = np.median(train) if levels else np.mean(train)
        assert first.value == second.value == pytest.approx(expected, abs=1 if levels else 1e-3)
    else:
        assert first.value > second.value  # type: ignore[operator]


def test_a_head_begins_with_the_probe(tiny_bert: Path, tmp_path: Path) -> None:
    head = {"kind": "linear", "init": "probe"}
    for levels in (False, True):
        files = write_number_rows(tmp_path / str(levels), levels=levels)
        model = {"name": str(tiny_bert), "max_length": 32, "precision": "fp32", "head": head}
        task, optim = task_of(levels=levels), {"name": "adamw", "lr": 1e-9, "head_lr": 1e-9}
        started = fit(
            config(str(tiny_bert), files, task=task, model=model, optim=optim),
            out=tmp_path / f"{levels}-run",
            baselines=True,
        )
        probe = next(one for one in started.baselines if one.method == "probe")
        assert started.metrics.validation["mse"] == pytest.approx(probe.metrics.validation["mse"], rel=0.05)


@pytest.mark.parametrize("levels", [False, True])
def test_a_study_searches_joins_and_exports(levels: bool, tiny_bert: Path, tmp_path: Path) -> None:
    document = {
        **config(str(tiny_bert), write_number_rows(tmp_path, levels=levels), task=task_of(levels=levels)).model_dump(
            mode="json"
        ),
        "optim": {"name": "adamw", "lr": {"low": 1e-3, "high": 6e-3}},
        "search": {"n_trials": 3, "ensemble": 2, "baselines": []},
        "checkpoint": {"keep_best": 2},
    }
    study = search(document, out=tmp_path / "study", engine="here")
    assert study.best is not None and study.best.test is not None
    assert {gain.method for gain in study.ensembles} == {"mean", "weighted", "soup"}
    assert "no ensemble by 'vote': models vote on labels" in " ".join(study.notes)
    kept = [
        trial.number for trial in study.trials if (tmp_path / f"study/trials/{trial.number}/checkpoints.json").exists()
    ]
    with pytest.raises(ModelError, match="take --method mean"):
        ensemble(tmp_path / "study", tmp_path / "votes", method="vote", trials=kept[:2])
    ensemble(tmp_path / "study", tmp_path / "both", method="mean")
    members = [load(member) for member in sorted((tmp_path / "both" / "members").iterdir())]
    joined, each = load(tmp_path / "both").predict(TEXTS), [member.predict(TEXTS) for member in members]
    if levels:
        assert all(one.label in one.probabilities for one in joined)
    else:
        assert joined[0].value == pytest.approx(np.mean([one[0].value for one in each]), rel=1e-5)


def test_predictions_of_a_file_have_value_and_interval(tiny_bert: Path, tmp_path: Path) -> None:
    files = write_number_rows(tmp_path)
    fit(config(str(tiny_bert), files, task="regression", peft="tfidf"), out=tmp_path / "run")
    assert predict_file(tmp_path / "run", Path(files["test"]), tmp_path / "out.csv") == 24
    with (tmp_path / "out.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [*rows[0]] == ["id", "text", "label", "value", "low", "high"]
    widths = {round(float(row["high"]) - float(row["low"]), 4) for row in rows}
    assert len(widths) == 1 and all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in rows)
    again = load(tmp_path / "run").answer([Example(row["text"]) for row in rows])
    assert [one.value for one in again] == pytest.approx([float(row["value"]) for row in rows], rel=1e-5)
    for answer in (Answer(probabilities=True), Answer(top_k=2)):
        with pytest.raises(RequestError, match="this model gives none; leave --top-k and --probabilities out"):
            predict_file(tmp_path / "run", Path(files["test"]), tmp_path / "more.csv", answer=answer)
    with pytest.raises(RequestError, match="a threshold is for tasks that give labels"):
        load(tmp_path / "run").predict(TEXTS, threshold=0.5)


def test_other_units_are_learned_alike(tiny_bert: Path, tmp_path: Path) -> None:
    """Targets are standardised: the same rows in another unit give the same model."""
    results = []
    for factor in (1, 1000):
        files = write_number_rows(tmp_path / str(factor))
        for name in files.values():
            rows = [json.loads(line) for line in Path(name).read_text().splitlines()]
            Path(name).write_text("".join(json.dumps({**row, "label": factor * row["label"]}) + "\n" for row in rows))
        results.append(fit(config(str(tiny_bert), files, task="regression"), out=tmp_path / f"run{factor}"))
    one, other = (result.metrics.validation for result in results)
    assert other["mae"] == pytest.approx(1000 * one["mae"], rel=1e-3) and other["loss"] == pytest.approx(
        one["loss"], rel=1e-3
    )


@pytest.mark.parametrize(
    ("task", "sections", "told"),
    [
        ({"ordinal": True, "loss": "huber"}, {}, "task.loss.name"),
        ({"ordinal": True}, {"model": {"head": "native"}}, "model.head.kind"),
        ({}, {"regularization": {"label_smoothing": 0.1}}, "regularization.label_smoothing"),
    ],
)
def test_what_would_do_nothing_is_refused(task: dict[str, Any], sections: dict[str, Any], told: str) -> None:
    document = {"task": {"kind": "regression", **task}, "data": {"train": "a.csv"}, **sections}
    with pytest.raises(ConfigError) as caught:
        validate(document)
    assert [problem.path for problem in caught.value.problems] == [told]


def test_the_default_space_has_what_the_task_can_use() -> None:
    space = domains(space_of({"task": {"kind": "regression"}, "data": {"train": "a.csv"}}))
    assert {"task.loss.name", "task.loss.delta", "task.loss.beta"} <= set(space)
    assert "regularization.label_smoothing" not in space
    levels = domains(space_of({"task": {"kind": "regression", "ordinal": True}, "data": {"train": "a.csv"}}))
    assert not any(path.startswith("task.loss") for path in levels)
    assert "native" not in levels["model.head.kind"].values  # type: ignore[union-attr]


def test_one_number_for_all_rows_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    files = write_number_rows(tmp_path)
    for name in files.values():
        rows = [json.loads(line) for line in Path(name).read_text().splitlines()]
        Path(name).write_text("".join(json.dumps({**row, "label": 3}) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"constant_target: numbers should differ"):
        fit(config(str(tiny_bert), files, task="regression"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
