"""`tunery curve`: scores of parts of the training rows, out of fold, and never of test."""

import json
from pathlib import Path

import numpy as np
import pytest

from tiny_runs import FILES, config, write_rows
from tunery.cli import main
from tunery.errors import DataError, RequestError
from tunery.report.text.curve_sentences import curve_sentences
from tunery.schema.results.curve import LearningCurve
from tunery.train.deep_check.learning_curve import curve_of, learning_curve
from tunery.train.deep_check.simple_model import probe_over
from tunery.train.setup.prepare import prepare


def test_scores_rise_where_labels_can_be_learned_and_the_classes_that_gain_are_named(
    tiny_bert: Path, tmp_path: Path
) -> None:
    """Features of two drawn distributions that overlap, in place of those of a base."""
    files = write_rows(tmp_path, rows=800)
    asked = config(str(tiny_bert), files, search={"objective": "accuracy"})
    prepared, draw = prepare(asked), np.random.default_rng(0)
    targets = prepared.linear_targets()
    assert targets is not None
    centre = draw.normal(size=60) * 0.15
    features = draw.normal(size=(800, 60)) + np.where(targets.values[:, None] == 1, centre, -centre)
    found = curve_of(probe_over(features.astype(np.float32), prepared, targets, seed=0), asked)
    assert [point.rows for point in found.points] == [80, 160, 320, 640]
    assert [point.rows for point in found.predictions] == [800, 1600, 3200]
    assert found.rises and found.fits and found.points[0].score + 0.05 < found.points[-1].score < 1
    fresh = draw.integers(2, size=4000)
    new = draw.normal(size=(4000, 60)) + np.where(fresh[:, None] == 1, centre, -centre)
    bound = ((new @ centre > 0) == fresh).mean()
    four = found.predictions[-1]
    assert found.points[-1].score < four.score and four.low < bound < four.high
    for gain in found.gains:
        assert 0 < gain.low < gain.gain < gain.high and gain.label in ("good", "bad")
    sentences = " ".join(curve_sentences(found))
    assert "twice the rows: accuracy from" in sentences or "says nothing" in sentences
    again = curve_of(probe_over(features.astype(np.float32), prepared, targets, seed=0), asked)
    assert again == found


def test_rows_of_test_are_not_looked_at(tiny_bert: Path, tmp_path: Path) -> None:
    files, found = write_rows(tmp_path, rows=120), list[LearningCurve]()
    for label in ("good", "bad"):
        rows = [json.loads(line) for line in Path(files["test"]).read_text().splitlines()]
        turned = [{**row, "label": label if number else row["label"]} for number, row in enumerate(rows)]
        path = tmp_path / f"test-{label}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in turned))
        asked = config(str(tiny_bert), {**files, "test": str(path), "allow": ["single_class"]})
        found.append(learning_curve(asked, prepare(asked)))
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", ["multilabel", "regression", "levels"])
def test_every_kind_of_label_has_a_curve(tiny_bert: Path, tmp_path: Path, kind: str) -> None:
    write = FILES[kind]
    files = write(tmp_path, rows=160)  # type: ignore[call-arg]
    task = {"kind": "regression", "ordinal": True} if kind == "levels" else {"kind": kind}
    asked = config(str(tiny_bert), files, task=task)
    found = learning_curve(asked, prepare(asked))
    assert len(found.points) == 4 and found.objective == asked.objective
    assert all(point.low <= point.score <= point.high for point in (*found.points, *found.predictions))
    assert [*curve_sentences(found)]


def test_an_error_that_is_to_be_small_falls(tiny_bert: Path, tmp_path: Path) -> None:
    asked = config(str(tiny_bert), write_rows(tmp_path, rows=160), search={"objective": "loss"})
    found = learning_curve(asked, prepare(asked))
    assert found.direction == "minimize"
    now, twice, four = (point.score for point in found.predictions)
    assert now >= twice >= four >= 0


def test_too_few_rows_and_texts_without_labels_are_refused(tiny_bert: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    asked = config(str(tiny_bert), write_rows(tmp_path, rows=40))
    with pytest.raises(DataError, match="needs 80 training rows or more, but has 40"):
        learning_curve(asked, prepare(asked))
    asked = config(str(tiny_gpt2), write_rows(tmp_path, rows=40), kind="causal_lm")
    with pytest.raises(RequestError, match="learns none"):
        learning_curve(asked, prepare(asked))


def test_curve_prints_a_table_or_one_document(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.yaml"
    files = write_rows(tmp_path, rows=100)
    path.write_text(json.dumps({"task": {"kind": "classification"}, "data": files, "model": {"name": str(tiny_bert)}}))
    for flags, code in (([], 0), (["--json"], 0), (["--deep"], 2)):
        with pytest.raises(SystemExit) as ended:
            main(["curve", str(path), *flags])
        assert ended.value.code == code
        printed = capsys.readouterr()
        if flags == ["--json"]:
            assert len(LearningCurve.model_validate_json(printed.out).predictions) == 3
        elif not flags:
            assert "measured, out of fold" in printed.out and "4 times" in printed.out
