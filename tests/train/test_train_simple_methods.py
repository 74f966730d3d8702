"""probe, tfidf and majority: fitted at once, and otherwise runs like all others."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tiny_runs import config, write_rows
from tunery import load
from tunery.errors import ConfigError, ModelError
from tunery.schema import load_config
from tunery.schema.results.run import RunResult
from tunery.train.fit import fit
from tunery.train.predict.inference import evaluate

METHODS = ("probe", "tfidf", "majority")


def run(model: Path, folder: Path, method: str, *, kind: str = "classification", **sections: Any) -> RunResult:
    files = write_rows(folder, multilabel=kind == "multilabel")
    head = {"head": {"kind": "auto"}} if method == "probe" else {}
    spec = {"name": str(model), "max_length": 32, "precision": "fp32", **head}
    return fit(
        config(str(model), files, kind=kind, **{"model": spec, "peft": {"method": method}, **sections}),
        out=folder / "run",
    )


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
@pytest.mark.parametrize("method", METHODS)
def test_a_run_is_scored_exported_and_read_back(tiny_bert: Path, tmp_path: Path, method: str, kind: str) -> None:
    result = run(tiny_bert, tmp_path, method, kind=kind)
    predictor = load(tmp_path / "run")
    assert result.status == "completed" and result.metrics.test is not None
    assert evaluate(tmp_path / "run")["loss"] == pytest.approx(result.metrics.test["loss"], abs=1e-5)
    prediction = predictor.predict("we love the great film")
    assert set(prediction[0].probabilities) == {"good", "bad"}
    again = load_config(tmp_path / "run" / "config.yaml")
    assert fit(again, out=tmp_path / "run") == result  # finished: nothing is fitted again
    trainable = result.parameters.trainable if result.parameters else 0
    assert trainable == {"probe": 2 * 32 + 2, "majority": 2}.get(method, trainable) > 0


@pytest.mark.parametrize("method", ["tfidf", "probe"])
def test_words_that_tell_labels_apart_are_learned(tiny_bert: Path, tmp_path: Path, method: str) -> None:
    result = run(tiny_bert, tmp_path, method)
    assert result.metrics.test is not None and result.metrics.test["accuracy"] > (0.9 if method == "tfidf" else 0.6)


def test_the_majority_is_no_better_than_chance_and_no_note_wonders(tiny_bert: Path, tmp_path: Path) -> None:
    result = run(tiny_bert, tmp_path, "majority")
    assert result.metrics.test is not None and result.metrics.test["accuracy"] == 0.5
    assert result.notes == ()
    assert sorted(path.name for path in (tmp_path / "run" / "best").iterdir()) == [
        "text_model.safetensors",
        "tunery.json",
    ]


def test_a_probe_changes_nothing_of_the_model(tiny_bert: Path, tmp_path: Path) -> None:
    result = run(tiny_bert, tmp_path, "probe")
    exported = tmp_path / "run" / "best"
    assert load_file(exported / "head.safetensors").keys() == {"labels.layers.1.weight", "labels.layers.1.bias"}
    assert sum(path.stat().st_size for path in exported.rglob("*.safetensors")) < 5_000
    assert result.config["model"]["head"] == {"kind": "linear", "init": "random", "pooling": "mean"}
    assert json.loads((exported / "tunery.json").read_text())["config"]["model"]["head"]["pooling"] == "mean"


def test_the_same_seed_gives_the_same_probe(tiny_bert: Path, tmp_path: Path) -> None:
    heads = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run(tiny_bert, tmp_path / name, "probe")
        heads.append(load_file(tmp_path / name / "run" / "best" / "head.safetensors"))
    assert all(np.array_equal(heads[0][name], heads[1][name]) for name in heads[0])


def test_a_probe_needs_a_linear_head(tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.head\.kind: a probe is one linear layer .* write auto or linear"):
        config(
            str(tiny_bert),
            write_rows(tmp_path),
            model={"name": str(tiny_bert), "head": "native"},
            peft={"method": "probe"},
        )


@pytest.mark.parametrize("damage", [b"", b"no tensors", None])
def test_a_damaged_text_model_is_refused_by_name(tiny_bert: Path, tmp_path: Path, damage: bytes | None) -> None:
    run(tiny_bert, tmp_path, "tfidf")
    file = tmp_path / "run" / "best" / "text_model.safetensors"
    file.unlink() if damage is None else file.write_bytes(damage)
    with pytest.raises(ModelError, match=r"text_model\.safetensors' must be what was written there"):
        load(tmp_path / "run")
