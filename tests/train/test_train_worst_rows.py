"""The rows of test that are answered worst: recorded with a run, with their texts or without."""

from pathlib import Path

import pytest

import tunery
from tiny_runs import StopAt, config, files_with, write_evidence_rows, write_rows
from tunery.errors import Interrupted
from tunery.store.folder import RunFolder
from tunery.train.predict.inference import evaluate

MARK = "quokka"


def test_a_run_records_them_and_they_can_be_shown_without_texts_later(tiny_bert: Path, tmp_path: Path) -> None:
    run = config(str(tiny_bert), {**write_rows(tmp_path, rows=16, mark=MARK), "id": "id"}, train={"epochs": 1})
    out = tmp_path / "run"
    result = tunery.fit(run, out=out)
    test, found = result.metrics.test or {}, RunFolder(out).worst_rows()
    assert found is not None and (found.split, found.total, len(found.rows)) == ("test", 24, 24)
    losses = [row.loss for row in found.rows]
    assert losses == sorted(losses, reverse=True) and sum(losses) / 24 == pytest.approx(test["loss"])
    assert sum(row.labels == row.answer for row in found.rows) == round(24 * test["accuracy"])
    assert {row.id for row in found.rows} == {f"test-{n}" for n in range(24)}
    assert files_with(MARK, out) == ["report.html", "worst_rows.json"]

    assert tunery.fit(run, out=out, texts=False) == result and files_with(MARK, out) == []
    assert tunery.fit(run, out=out) == result and files_with(MARK, out) == []
    assert found.rows[0].id in (out / "report.html").read_text()
    assert RunFolder(out).worst_rows() == found.without_texts()


def test_without_texts_no_file_of_a_run_ever_holds_one(tiny_bert: Path, tmp_path: Path) -> None:
    run = config(str(tiny_bert), write_rows(tmp_path, mark=MARK, multilabel=True), kind="multilabel")
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        tunery.fit(run, [StopAt(9, "signal")], out=out, texts=False)
    assert files_with(MARK, out) == [] and RunFolder(out).worst_rows() is None
    tunery.fit(run, out=out, texts=False)
    found = RunFolder(out).worst_rows()
    assert found is not None and found.rows[0].id.startswith("#") and files_with(MARK, out) == []
    assert "Worst rows" in (out / "report.html").read_text()


def test_evidence_without_texts_is_offsets_alone(tiny_bert: Path, tmp_path: Path) -> None:
    files = {**write_evidence_rows(tmp_path), "id": "id"}
    run, out = config(str(tiny_bert), files, kind="criteria_evidence", train={"epochs": 1}), tmp_path / "run"
    result = tunery.fit(run, out=out)
    mark = "awake all night test"
    assert files_with(mark, out) == ["report.html", "worst_rows.json"]
    found = RunFolder(out).worst_rows()
    assert found is not None and len(found.rows) == 24 and not found.typical
    assert tunery.fit(run, out=out, texts=False) == result and files_with(mark, out) == []
    bare = RunFolder(out).worst_rows()
    assert bare == found.without_texts() and any(row.marks and row.marks.evidence for row in bare.rows)
    assert evaluate(out) == result.metrics.test
