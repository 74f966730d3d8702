"""A run tells probabilities as they were calibrated on its validation rows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiny_runs import config, write_rows
from tunery.data.calibration import quality
from tunery.data.examples import Example
from tunery.train.fit import fit
from tunery.train.predict.inference import load


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_what_is_predicted_is_what_was_scored(tmp_path: Path, tiny_bert: Path, kind: str) -> None:
    files: Any = write_rows(tmp_path, multilabel=kind == "multilabel", rows=80)
    train = {"epochs": 4, "batch_size": 8, "log_every": 2}
    result = fit(config(str(tiny_bert), files, kind=kind, train=train), out=tmp_path / "run")
    card = json.loads((tmp_path / "run" / "best" / "tunery.json").read_text())
    if kind == "multilabel":  # as earlier versions wrote what is `per_label` now
        card["config"]["task"]["threshold"] = "tuned"
        (tmp_path / "run" / "best" / "tunery.json").write_text(json.dumps(card))
    calibration = card["task"]["state"]["calibration"]
    assert calibration == result.metrics.validation["calibration"]
    model, rows = load(tmp_path / "run" / "best"), [json.loads(x) for x in Path(files["test"]).read_text().splitlines()]
    told = np.array([[*p.probabilities.values()] for p in model.predict([row["text"] for row in rows])])
    truth = model.task.truth([Example(row["text"], labels=(*row.get("labels", (row.get("label"),)),)) for row in rows])
    problem: Any = "single_label" if kind == "classification" else "multi_label"
    logits = np.log(told) if kind == "classification" else np.log(told) - np.log1p(-told)
    test = result.metrics.test or {}
    assert quality(logits, truth["labels"], problem)["loss"] == pytest.approx(
        test["probabilities"]["after"]["loss"], abs=1e-4
    )
    assert (test["probabilities"]["before"] == test["probabilities"]["after"]) == (calibration is None)
