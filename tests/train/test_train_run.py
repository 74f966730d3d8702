"""`tunery.fit`: from whatever says what the run is to a folder with its page."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tunery
from tiny_runs import config, write_rows
from tunery.errors import DataError

DOCUMENT = {"task": "classification", "data": {"train": "nowhere.csv"}}
VERBS: dict[str, Callable[[Any, Path], Any]] = {
    "fit": lambda given, out: tunery.fit(given, out=out),
    "search": lambda given, out: tunery.search(given, out=out),
    "compare": lambda given, out: tunery.compare(given, methods=["none"], out=out),
}


def test_a_run_of_a_file_has_its_page_and_is_told_in_a_few_lines(tiny_bert: Path, tmp_path: Path) -> None:
    written = config(str(tiny_bert), write_rows(tmp_path, rows=16), train={"epochs": 1, "batch_size": 8})
    (tmp_path / "run.yaml").write_text(json.dumps(written.model_dump(mode="json")))
    result = tunery.fit(str(tmp_path / "run.yaml"), out=tmp_path / "run")
    page = tmp_path / "run" / "report.html"
    assert result.status == "completed" and "</html>" in page.read_text(encoding="utf-8")
    model = tunery.load(tmp_path / "run")
    for told in (result, model, model.predict("a great day")):
        assert len(repr(told)) < 650, repr(told)
    assert f"test={result.metrics.test['f1_macro'] if result.metrics.test else None}" in repr(result)
    page.unlink()
    assert tunery.fit(written, out=tmp_path / "run") == result and page.exists()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_a_path_a_mapping_and_a_config(verb: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(json.dumps(DOCUMENT))
    ways = [tmp_path / "run.yaml", str(tmp_path / "run.yaml"), DOCUMENT, tunery.RunConfig(**DOCUMENT)]
    for given in ways:
        with pytest.raises(DataError, match=r"nowhere\.csv"):
            VERBS[verb](given, tmp_path / "out")
    assert not (tmp_path / "out").exists()
