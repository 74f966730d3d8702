"""`tunery check --deep`: rows with planted errors are found, with the probe and without one, whatever the task."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiny_runs import FILES, config, write_number_rows, write_rows
from tunery.cli import main
from tunery.data.examples import Example
from tunery.errors import DataError, RequestError
from tunery.train.deep_check.deep_check import DeepCheck, deep_check
from tunery.train.deep_check.doubts import DOUBTFUL_LABEL, SAYS_NOTHING, label_doubts
from tunery.train.fit import fit
from tunery.train.setup.prepare import prepare

WRONG = (6, 21, 40)
"""Training rows, from 0, whose label is turned round."""


def changed(file: str, change: Callable[[int, dict[str, Any]], object]) -> None:
    rows = [json.loads(line) for line in Path(file).read_text().splitlines()]
    for number, row in enumerate(rows):
        change(number, row)
    Path(file).write_text("".join(json.dumps(row) + "\n" for row in rows))


def turned_round(number: int, row: dict[str, Any]) -> None:
    if number in WRONG:
        row["label"] = "bad" if row["label"] == "good" else "good"


def codes(found: DeepCheck) -> set[str]:
    return {finding.code for finding in found.findings}


def by_words(model: Path, files: dict[str, str], kind: str) -> DeepCheck:
    """Rows of a config with a quantised base, which is not read in full for a probe."""
    prepared = prepare(config(str(model), files, kind=kind))
    spec = {"name": str(model), "max_length": 32, "quantization": "int8"}
    found = deep_check(config(str(model), files, kind=kind, model=spec, peft="lora"), prepared)
    assert found.method == "tfidf" and "quantised" in found.findings[0].message
    return found


def test_planted_errors_are_found_by_words_where_the_base_admits_no_probe(tiny_bert: Path, tmp_path: Path) -> None:
    files = write_rows(tmp_path, rows=160)
    changed(files["train"], turned_round)
    found = by_words(tiny_bert, files, "classification")
    assert {doubt.row for doubt in found.doubts[:3]} == {*WRONG} and "doubtful_labels" in codes(found)
    for doubt in found.doubts[:3]:
        assert doubt.reasons == (DOUBTFUL_LABEL,)
        assert doubt.suggested == (("good", "bad")[doubt.row % 2],) != doubt.given
        assert (doubt.given_probability or 0) < (doubt.suggested_probability or 0)


def test_labels_that_are_missing_are_found_where_rows_have_several(tiny_bert: Path, tmp_path: Path) -> None:
    """Every fifth row lacks the label that its words tell."""
    files = write_rows(tmp_path, multilabel=True, rows=160)
    found = by_words(tiny_bert, files, "multilabel")
    missing = [doubt for doubt in found.doubts if doubt.row % 5 == 0]
    assert len(missing) > 10 and len(missing) > 0.8 * len(found.doubts)
    for doubt in missing:
        assert doubt.given == () and doubt.suggested == (("good", "bad")[doubt.row % 2],)


def test_the_probe_reads_each_row_once_and_says_so(tiny_bert: Path, tmp_path: Path) -> None:
    files, said = write_rows(tmp_path, rows=60), list[str]()
    asked = config(str(tiny_bert), files)
    found = deep_check(asked, prepare(asked), say=said.append)
    assert found.method == "probe" and sum("60 training rows" in line for line in said) == 1
    again = deep_check(asked, prepare(asked))
    assert again.doubts == found.doubts and again.findings == found.findings


def test_a_number_that_is_far_out_is_named_with_what_is_predicted(tiny_bert: Path, tmp_path: Path) -> None:
    files = write_number_rows(tmp_path, rows=120)
    changed(files["train"], lambda number, row: row.update(label=row["label"] + 400) if number == 17 else None)
    found = by_words(tiny_bert, files, "regression")
    (far, *_) = found.doubts
    assert far.row == 17 and "doubtful_numbers" in codes(found)
    assert far.suggested is not None and abs(float(far.given[0]) - float(far.suggested[0])) > 200


@pytest.mark.parametrize("kind", [kind for kind in FILES if not kind.endswith("lm")])
def test_every_task_with_labels_or_numbers_is_looked_at(tiny_bert: Path, tmp_path: Path, kind: str) -> None:
    files = FILES[kind](tmp_path)
    task = {"kind": "regression", "ordinal": True} if kind == "levels" else {"kind": kind}
    asked = config(str(tiny_bert), files, task=task)
    found = deep_check(asked, prepare(asked))
    assert found.findings[0].code == "deep_check" and len(found.table("|")) == len(found.doubts)


def test_language_models_are_refused(tiny_gpt2: Path, tmp_path: Path) -> None:
    asked = config(str(tiny_gpt2), write_rows(tmp_path), kind="causal_lm")
    with pytest.raises(RequestError, match="without --deep"):
        deep_check(asked, prepare(asked))


def test_rows_that_must_stay_known_are_named_and_none_at_all_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    files = write_rows(tmp_path, rows=40)
    changed(files["train"], lambda number, row: row.update(label="odd") if number == 3 else None)
    asked = config(str(tiny_bert), files)
    found = deep_check(asked, prepare(asked))
    (alone,) = (finding for finding in found.findings if finding.code == "unchecked_rows")
    assert alone.count == 1 and "'odd'" in alone.message and all(doubt.row != 3 for doubt in found.doubts)
    few = write_rows(tmp_path, rows=2)
    asked = config(str(tiny_bert), few, train={"epochs": 1, "batch_size": 2})
    with pytest.raises(DataError, match="give each label more rows"):
        deep_check(asked, prepare(asked))


def test_rows_stand_once_doubtful_labels_first_then_contradictions_then_silent_texts() -> None:
    examples = [Example(f"a text of its own, number {row}", labels=("ab"[row % 2],)) for row in range(40)]
    examples[10], examples[11] = Example("same text", labels=("a",)), Example("Same text!", labels=("b",))
    labels = np.arange(40) % 2
    p = np.where(np.eye(2)[labels] > 0, 0.9, 0.1)
    p[4], p[11], p[20] = [0.02, 0.98], [0.95, 0.05], [0.5, 0.5]
    said = label_doubts(examples, p, labels, np.zeros(40, dtype=np.int64), ("a", "b"))
    assert [doubt.row for doubt in said.doubts] == [4, 11, 10, 20]
    assert said.doubts[0].reasons == (DOUBTFUL_LABEL,) and said.doubts[0].suggested == ("b",)
    assert len(said.doubts[1].reasons) == 2 and said.doubts[1].other == 10 and said.doubts[2].suggested is None
    assert said.doubts[3].reasons == (SAYS_NOTHING,)
    assert said.doubts[1].cells(examples[11], "|")["other_row"] == 10


def test_where_models_know_nothing_no_label_is_doubted() -> None:
    draw = np.random.default_rng(0)
    examples = [Example(f"a text of its own, number {row}", labels=("ab"[row % 2],)) for row in range(60)]
    p = draw.dirichlet((1, 1), size=60)
    said = label_doubts(examples, p, np.arange(60) % 2, np.zeros(60, dtype=np.int64), ("a", "b"))
    assert not said.doubts and [finding.code for finding in said.findings] == ["no_signal"]


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    return int(ended.value.code or 0)


def test_check_deep_writes_a_file_and_replaces_none(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_rows(tmp_path, rows=60)
    changed(files["train"], lambda number, row: row.update(text="the very same day") if number in (0, 1) else None)
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps({"task": {"kind": "classification"}, "data": files, "model": {"name": str(tiny_bert)}}))
    assert run("check", path, "--deep", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    written = tmp_path / "run.doubts.csv"
    assert printed["deep"]["file"] == str(written) and printed["deep"]["method"] == "probe"
    rows = list(csv.DictReader(written.open()))
    assert {"0", "1"} <= {row["row"] for row in rows} and len(rows) == len(printed["deep"]["doubts"])
    before = written.read_bytes()
    assert run("check", path, "--deep") == 2 and "--overwrite" in capsys.readouterr().err
    assert run("check", path, "--deep", "--out", files["train"], "--overwrite") == 2
    assert run("check", path, "--deep", "--out", tmp_path / "x.pdf") == 2
    assert written.read_bytes() == before and not (tmp_path / "x.pdf").exists()
    assert run("check", path, "--out", tmp_path / "y.csv") == 2 and "--deep" in capsys.readouterr().err
    assert run("check", path, "--deep", "--overwrite") == 0
    assert "What the training rows say back" in capsys.readouterr().out


@pytest.mark.parametrize("broken", ["one label", "empty texts"])
def test_rows_that_would_be_refused_are_not_looked_at(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    files = write_rows(tmp_path)
    change = {"label": "good"} if broken == "one label" else {"text": " "}
    for file in files.values():
        changed(file, lambda number, row: row.update(change))
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps({"task": {"kind": "classification"}, "data": files, "model": {"name": str(tiny_bert)}}))
    assert run("check", path, "--deep", "--json") == 2
    printed = json.loads(capsys.readouterr().out)
    assert not printed["ok"] and "deep" not in printed and not (tmp_path / "run.doubts.csv").exists()


def test_a_cross_validated_run_judges_its_rows(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_rows(tmp_path, rows=120)
    changed(files["train"], lambda number, row: turned_round(number, row) if number in WRONG else None)
    data = {"train": files["train"], "folds": 3, "repeats": 2}
    folds = config(str(tiny_bert), data, peft="tfidf", optim={"name": "adamw"}, train={"baselines": []})
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps(folds.model_dump(mode="json")))
    assert run("check", path, "--deep", "--by", tmp_path / "folds") == 2
    assert "data.folds" in capsys.readouterr().err
    fit(folds, out=tmp_path / "folds")
    assert run("check", path, "--deep", "--by", tmp_path / "folds", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["deep"]["method"] == f"run {tmp_path / 'folds'}"
    rows = [*csv.DictReader((tmp_path / "run.doubts.csv").open())]
    assert {int(row["row"]) for row in rows[: len(WRONG)]} == {*WRONG}
    with (tmp_path / "folds" / "oof.csv").open() as file:
        lines = [line for line in csv.DictReader(file) if int(line["row"]) == int(rows[0]["row"])]
    means = {name: sum(float(line[f"p_{name}"]) for line in lines) / 2 for name in ("good", "bad")}
    assert float(rows[0]["suggested_probability"]) == pytest.approx(means[rows[0]["suggested"]], abs=1e-5)
