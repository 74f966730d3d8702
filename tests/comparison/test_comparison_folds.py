"""Methods compared on the same folds, by the corrected resampled t test."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tiny_runs import write_rows
from tunery import compare
from tunery.execution.in_process import InThisProcess
from tunery.store.folder import RunFolder


def test_methods_are_compared_fold_by_fold(tmp_path: Path, tiny_bert: Path) -> None:
    files = write_rows(tmp_path / "rows")
    document = {
        "task": {"kind": "classification"},
        "data": {"train": files["train"], "folds": 4, "repeats": 2, "validation_size": 0.2},
        "model": {"name": str(tiny_bert), "max_length": 32, "precision": "fp32"},
        "train": {"epochs": 1, "batch_size": 8, "baselines": []},
    }
    out = tmp_path / "out"
    result = compare(document, methods=["majority", "tfidf"], seeds=2, out=out, runner=InThisProcess())
    cells = {
        (method, seed): RunFolder(out / "cells" / method / str(seed))
        for method in ("majority", "tfidf")
        for seed in (0, 1)
    }
    values = {key: [fold.value for fold in folder.result().folds] for key, folder in cells.items()}  # type: ignore[union-attr]
    by_seed = [np.subtract(values["tfidf", seed], values["majority", seed]) for seed in (0, 1)]
    differences = np.mean(by_seed, axis=0)
    assert len(differences) == 8
    error = math.sqrt(differences.var(ddof=1) * (1 / 8 + 1 / 3))  # Nadeau & Bengio 2003: one test fold for three others
    majority, tfidf = result.methods
    assert majority.p_value is None and majority.folds == tfidf.folds == 8
    assert tfidf.difference == pytest.approx(differences.mean())
    assert tfidf.p_value == pytest.approx(2 * stats.t.sf(abs(differences.mean()) / error, 7))
    reach = stats.t.ppf(0.975, 7) * error
    assert tfidf.difference_low == pytest.approx(differences.mean() - reach)
    assert tfidf.difference_high == pytest.approx(differences.mean() + reach)
    oof = [cells["tfidf", seed].result().metrics.oof["f1_macro"] for seed in (0, 1)]  # type: ignore[union-attr,index]
    assert tfidf.mean == pytest.approx(np.mean(oof))
    assert tfidf.low is not None and tfidf.high is not None and tfidf.low < tfidf.mean < tfidf.high
    assert any("difference over 8 folds" in line for line in result.verdicts)
    page = (out / "report.html").read_text()
    assert "out of fold" in page and "corrected resampled" in page and "on test" not in page
    assert json.loads((out / "comparison.json").read_text())["methods"][1]["folds"] == 8
