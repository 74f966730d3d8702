"""The model card: what the Hub's own library reads of it, and that nothing in it is markup by accident."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from report_records import make_run
from tiny_runs import config, write_rows
from tunery.report.text.model_card import Carded, model_card
from tunery.schema.results.run import DataRecord, SplitRecord
from tunery.train.run import fit


def carded(**changes: object) -> str:
    base = {
        "result": make_run(),
        "base": "sentence-transformers/all-MiniLM-L6-v2",
        "license": "Apache-2.0",
        "intervals": {"test": (0.81, 0.85), "oof": None},
        "origin": "one run",
        "library": "peft",
    }
    return model_card(Carded(**{**base, **changes}))  # type: ignore[arg-type]


def test_the_hubs_own_library_reads_metadata_and_scores() -> None:
    run = make_run()
    card = ModelCard(carded(result=run))
    data: Any = card.data
    assert data.library_name == "peft" and data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert data.pipeline_tag == "text-classification" and data.license == "apache-2.0"
    assert run.metrics.test is not None and data.eval_results is not None
    scores = {(one.dataset_split, one.metric_type): one.metric_value for one in data.eval_results}
    assert scores["test", "f1_macro"] == run.metrics.test["f1_macro"]
    assert scores["test", "accuracy"] == run.metrics.test["accuracy"]
    assert {split for split, _ in scores} == {"test"}, "validation chose the model: no result of it"
    assert "[0.8100, 0.8500]" in card.text and "147,840 of 22,861,056 parameters" in card.text
    assert "| train | 9,002 |" in card.text


def test_a_model_without_scores_has_a_card_without_results() -> None:
    card = ModelCard(carded(result=make_run(value=None), base=None, license=None, library="tunery"))
    data: Any = card.data
    assert data.eval_results is None and data.base_model is None


def test_labels_are_no_markup_and_places_are_no_secrets() -> None:
    labels = {"a|b": 3, "# head": 4, "<img src=x>": 5, "two\nlines": 6}
    rows = {
        split: SplitRecord(rows=20, digest="f" * 64, source=f"/home/ann/{split}.csv", labels=labels)
        for split in ("train", "validation", "test")
    }
    run = make_run()
    assert run.metrics.test is not None
    per_label = {label: {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 5} for label in labels}
    metrics = run.metrics.model_copy(update={"test": {**run.metrics.test, "per_label": per_label}})
    data = DataRecord(splits=rows, findings=("warning: /home/ann/train.csv has 3 equal rows",))
    text = carded(result=run.model_copy(update={"data": data, "metrics": metrics, "base": "sha256:0"}))
    assert "/home/ann" not in text and "train.csv has 3 equal rows" in text
    body = text.split("---\n")[2]
    assert "\n# head" not in body and "<img" not in body.replace("\\<img", "") and "a\\|b" in body
    assert "| two lines | 0.5000 | 0.5000 | 0.5000 | 5 |" in body


@pytest.mark.parametrize("texts", [True, False])
def test_a_run_writes_the_card_of_its_model_without_a_text_of_its_rows(
    tiny_bert: Path, tmp_path: Path, *, texts: bool
) -> None:
    files = write_rows(tmp_path / "data", mark="unmistakable")
    result = fit(config(str(tiny_bert), files, peft="tfidf", train={"epochs": 1}), out=tmp_path / "run", texts=texts)
    card = ModelCard.load(tmp_path / "run" / "best" / "README.md")
    assert result.metrics.test is not None and card.data.eval_results is not None
    assert result.metrics.test["f1_macro"] in [one.metric_value for one in card.data.eval_results]
    assert "unmistakable" not in card.content and str(tmp_path) not in card.content
    assert "[" in next(line for line in card.content.splitlines() if line.startswith("| macro F1"))
