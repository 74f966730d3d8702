"""`fit`: trains, restores the best, exports, records; resumes bit for bit; refuses before it writes."""

import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from fast_and_slow import slow_but
from tiny_runs import StopAt, config, write_rows
from tunery import load
from tunery.data.examples import Example
from tunery.errors import DataError, FolderError, Interrupted
from tunery.schema import RunConfig
from tunery.store.disk.ownership import temporary
from tunery.store.folder import RunFolder
from tunery.tracking.jsonl import read_metrics
from tunery.train.fit import fit
from tunery.train.predict.inference import evaluate

METHODS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"peft": {"method": "lora", "r": 4}},
    "frozen": {"freeze": {"strategy": "freeze_encoder"}},
    "mlp head": {"peft": "lora", "model_head": {"kind": "mlp", "hidden": 16}},
}


def make(tiny_bert: Path, folder: Path, method: str = "lora", **sections: Any) -> RunConfig:
    chosen = {**METHODS[method], **sections}
    if head := chosen.pop("model_head", None):
        chosen["model"] = {"name": str(tiny_bert), "max_length": 32, "precision": "fp32", "head": head}
    kind = chosen.pop("kind", "classification")
    return config(str(tiny_bert), write_rows(folder, multilabel=kind == "multilabel"), kind=kind, **chosen)


def best_logits(run: Path) -> np.ndarray:
    rows = [Example("it was a great day"), Example("the film was very sad")]
    return load(run).logits(rows)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_a_run_is_trained_scored_exported_and_recorded(tiny_bert: Path, tmp_path: Path, method: str, kind: str) -> None:
    given = make(tiny_bert, tmp_path, method, kind=kind)
    out = tmp_path / "run"
    result = fit(given, out=out)

    assert result.status == "completed" and result.objective.name == "f1_macro"
    assert result.metrics.test is not None and result.metrics.validation["f1_macro"] == result.objective.value
    assert json.loads((out / "result.json").read_text()) == json.loads(result.model_dump_json())
    assert result.parameters is not None and 0 < result.parameters.trainable <= result.parameters.total
    assert result.tokens.real <= result.tokens.processed and result.seconds.train > 0
    equals = {record.digest for record in result.checkpoints if record.kind == "co_best"}
    assert sorted(entry.name for entry in out.iterdir() if entry.is_file()) == [
        ".lock", ".tunery", *["checkpoints.json"][: len(equals)],
        "config.yaml", "data.json", "events.jsonl", "metrics.jsonl", "result.json",
    ]  # fmt: skip
    stored = {path.stem for path in (out / "objects").glob("*.safetensors")}
    assert not (out / "resume").exists() and stored == equals

    answer = load(out).predict(["it was a great day", "hate"])
    assert len(answer) == 2 and set(answer[0].probabilities) == {"good", "bad"}
    if kind == "classification":
        assert sum(answer[0].probabilities.values()) == pytest.approx(1.0, abs=1e-5)


def test_it_learns_what_can_be_learned(tiny_bert: Path, tmp_path: Path) -> None:
    given = make(tiny_bert, tmp_path, "full", train={"epochs": 8, "batch_size": 8})
    result = fit(given, out=tmp_path / "run")
    assert result.metrics.test is not None and result.metrics.test["accuracy"] >= 0.9
    assert load(tmp_path / "run").predict(["it was great"])[0].label == "good"


def test_a_finished_run_is_returned_and_not_trained_again(tiny_bert: Path, tmp_path: Path) -> None:
    given = make(tiny_bert, tmp_path)
    first = fit(given, out=tmp_path / "run")
    assert fit(given, [StopAt(0, "crash")], out=tmp_path / "run") == first


def test_another_config_on_the_same_folder_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    fit(make(tiny_bert, tmp_path), out=tmp_path / "run")
    with pytest.raises(FolderError, match=r"another config \(seed: 0 there, 1 now\)"):
        fit(make(tiny_bert, tmp_path, seed=1), out=tmp_path / "run")


@pytest.mark.parametrize(
    ("how", "method", "step"),
    slow_but(product(["signal", "crash"], ["full", "lora"], [8, 11]), ("signal", "full", 11), ("crash", "lora", 8)),
)
def test_an_interrupted_run_ends_bit_for_bit_like_an_uninterrupted_one(
    tiny_bert: Path, tmp_path: Path, how: str, method: str, step: int
) -> None:
    given = make(tiny_bert, tmp_path, method, train={"epochs": 3, "batch_size": 8, "log_every": 3})
    fit(given, out=tmp_path / "whole")
    with pytest.raises(Interrupted if how == "signal" else MemoryError):
        fit(given, [StopAt(step, how)], out=tmp_path / "torn")
    assert not (tmp_path / "torn" / "result.json").exists()
    result = fit(given, out=tmp_path / "torn")

    assert result.status == "completed"
    assert np.array_equal(best_logits(tmp_path / "whole"), best_logits(tmp_path / "torn"))
    whole, torn = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("whole", "torn"))
    assert whole == torn
    assert len({(line["step"], line["name"]) for line in torn}) == len(torn)


def test_a_run_that_died_after_its_last_step_trains_no_further(tiny_bert: Path, tmp_path: Path) -> None:
    given = make(tiny_bert, tmp_path, train={"epochs": 3, "max_steps": 5, "batch_size": 8, "log_every": 1})
    expected = fit(given, out=tmp_path / "whole")

    class DieAfterSaving(TrainerCallback):
        def on_save(self, *_: Any, **__: Any) -> None:
            raise MemoryError

    with pytest.raises(MemoryError):
        fit(given, [DieAfterSaving()], out=tmp_path / "torn")
    result = fit(given, out=tmp_path / "torn")
    assert result.metrics == expected.metrics and result.epochs == expected.epochs
    assert max(line["step"] for line in read_metrics(tmp_path / "torn" / "metrics.jsonl")) == 5


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "best" / "model.safetensors")


@pytest.mark.parametrize("change", [{"workers": 2}, {"micro_batch_tokens": 40}])
def test_workers_and_memory_settings_do_not_change_the_optimisation(
    tiny_bert: Path, tmp_path: Path, change: dict[str, int]
) -> None:
    """Bitwise over workers; up to rounding where the passes of a step are cut elsewhere (dropout is off)."""
    for name, extra in {"a": {}, "b": change}.items():
        settings = {"epochs": 1, "batch_size": 8, **extra}
        off = {f"{place}_dropout": 0.0 for place in ("head", "encoder", "attention")}
        sections = {"train": settings, "regularization": off, "optim": {"name": "sgd_momentum", "lr": 1e-2}}
        given = make(tiny_bert, tmp_path, "full", **sections)
        fit(given, out=tmp_path / name)
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    tolerance = 0.0 if "workers" in change else 1e-6
    assert all(torch.allclose(a[name], b[name], atol=tolerance, rtol=0) for name in a)


def test_the_best_epoch_is_restored_and_early_stopping_ends_the_run(tiny_bert: Path, tmp_path: Path) -> None:
    stopping = {"patience": 2, "min_delta": 0.001}
    train = {"epochs": 30, "batch_size": 8, "early_stopping": stopping}
    given = make(tiny_bert, tmp_path, "full", train=train, optim={"name": "adamw", "lr": 1e-2}, schedule="constant")
    result = fit(given, out=tmp_path / "run")
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    values, losses = (
        [line["value"] for line in lines if line["name"] == f"validation/{name}"] for name in ("f1_macro", "loss")
    )
    lowest = min(loss for value, loss in zip(values, losses, strict=True) if value == max(values))
    assert result.epochs == len(values) < 30
    assert result.objective.value == max(values) and result.best_epoch == losses.index(lowest) + 1
    assert evaluate(tmp_path / "run", "validation")["f1_macro"] == max(values)


def test_pairs_of_texts_are_trained_and_answered(tiny_bert: Path, tmp_path: Path) -> None:
    files = write_rows(tmp_path)
    for name in files.values():
        rows = [json.loads(line) for line in Path(name).read_text().splitlines()]
        Path(name).write_text("".join(json.dumps({**row, "other": row["text"][::-1]}) + "\n" for row in rows))
    fit(config(str(tiny_bert), {**files, "text_pair": "other"}), out=tmp_path / "run")
    model = load(tmp_path / "run")
    pair, same = model.logits([Example("a great day", "was it"), Example("a great day", "was it not so")])
    assert not np.allclose(pair, same)
    assert model.predict([("a great day", "was it")])[0].label in ("good", "bad")


def test_a_refused_request_leaves_nothing_behind(tiny_bert: Path, tmp_path: Path) -> None:
    given = make(tiny_bert, tmp_path)
    (tmp_path / "train.jsonl").unlink()
    with pytest.raises(DataError, match=r"train.jsonl"):
        fit(given, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_died_after_its_result_leaves_no_second_copy(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, out, write_result = make(tiny_bert, tmp_path, "lora"), tmp_path / "run", RunFolder.write_result
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(RunFolder, "write_result", lambda *given: (write_result(*given), sys.exit()))
        fit(given, out=out)
    assert (out / "result.json").exists() and RunFolder(out).best() is not None and (out / "resume").exists()
    temporary(out / "best").mkdir()
    fit(given, out=out)
    assert RunFolder(out).best() is None and not {"resume", "progress.json"} & {path.name for path in out.iterdir()}
    assert not list(out.glob(".best*"))
    assert RunFolder(out).objects.digests() == {record.digest for record in RunFolder(out).kept()}


def test_what_a_failed_attempt_spent_is_not_forgotten(tiny_bert: Path, tmp_path: Path) -> None:
    given, out = make(tiny_bert, tmp_path, "lora"), tmp_path / "run"
    with pytest.raises(MemoryError):
        fit(given, [StopAt(3, "crash")], out=out)
    spent = RunFolder(out).progress()
    assert not (out / "resume").exists() and spent.tokens.processed > 0 and spent.seconds.train > 0
