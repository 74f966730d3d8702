"""A run of the task with evidence, from files to answers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiny_runs import config, write_evidence_rows
from tunery import load
from tunery.errors import Interrupted
from tunery.train.fit import fit
from tunery.train.predict.inference import evaluate


@pytest.mark.parametrize("kind", ["multi_label", "binary_pairs"])
def test_a_run_resumes_exactly_and_its_export_answers_with_evidence(kind: str, tiny_bert: Path, tmp_path: Path) -> None:
    files = write_evidence_rows(tmp_path)
    task = {"kind": "criteria_evidence", "input": kind, "criteria": [{"label": "mood", "description": "sad"}]}
    run = config(
        str(tiny_bert), files, task=task, model={"name": str(tiny_bert), "max_length": 40, "precision": "fp32"}
    )
    result = fit(run, out=tmp_path / "run", baselines=True)
    left = iter([None, None, "the test"])
    with pytest.raises(Interrupted):
        fit(run, out=tmp_path / "stopped", stop=lambda: next(left, "the test"))
    resumed = fit(run, out=tmp_path / "stopped")
    assert resumed.metrics == result.metrics, "with baselines and without"
    assert [baseline.method for baseline in result.baselines] == ["majority", "probe"]
    assert all("evidence_auprc" not in baseline.metrics.validation for baseline in result.baselines)
    assert not any("override" in note for note in result.notes)
    assert result.objective.name == "f1_macro" and result.metrics.validation["evidence_auprc"] is not None
    again: dict[str, Any] = evaluate(tmp_path / "run")
    assert result.metrics.test is not None
    assert {name: again[name] for name in again} == {name: result.metrics.test[name] for name in again}
    card = json.loads((tmp_path / "run" / "best" / "tunery.json").read_text())
    assert card["task"]["settings"] == {"unit": "sentence", "annotation": "exhaustive", "neighbours": "0"}
    rows = [json.loads(line) for line in Path(files["test"]).read_text().splitlines()]
    predictor = load(tmp_path / "run")
    short, long = rows[0]["text"], " ".join(row["text"] for row in rows)
    for text, answer in zip([short, long, ""], predictor.predict([short, long, ""], threshold=0.001), strict=True):
        assert answer.labels == predictor.labels
        assert all(text[span.start : span.end] == span.text for span in answer.evidence)
        assert {span.label for span in answer.evidence} <= set(answer.labels)
    assert np.isclose(predictor.predict([short])[0].probabilities["mood"], answer_alone(predictor, short), atol=1e-5)


def answer_alone(predictor: Any, text: str) -> float:
    """The probability of a label where a longer text is read beside."""
    return float(predictor.predict([text, text * 30])[0].probabilities["mood"])
