"""`tunery export`: which weights, from where, merged or not, and what is refused."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tiny_runs import StopAt, config, native, write_rows
from tunery import load
from tunery.data.examples import Example
from tunery.errors import DataError, ExportMismatch, FolderError, ModelError
from tunery.schema.results.run import RunResult
from tunery.schema.results.storage import Disk
from tunery.schema.results.study import BestTrial, StudyResult, TrialRecord
from tunery.store.disk.lock import held
from tunery.store.folder import RunFolder
from tunery.train.artifacts.export import export_run
from tunery.train.fit import fit

ROWS = [Example("it was a great day"), Example("the film was sad and very bad")]
TRAIN = {"epochs": 1, "batch_size": 8}
LORA: dict[str, Any] = {"peft": {"method": "lora"}}


def train(base: Path, folder: Path, /, out: str = "run", **sections: Any) -> Path:
    folder.mkdir(exist_ok=True)
    fit(config(str(base), write_rows(folder), **{"model": native(base), "train": TRAIN, **sections}), out=folder / out)
    return folder / out


@pytest.fixture(scope="module")
def finished(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tiny_bert, tmp_path_factory.mktemp("finished"), **LORA)


@pytest.fixture(scope="module")
def begun(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has died in its second epoch, and an epoch with the value of the best whose weights differ."""
    folder = tmp_path_factory.mktemp("begun")
    given = config(str(tiny_bert), write_rows(folder), model=native(tiny_bert), train={**TRAIN, "epochs": 2}, **LORA)
    with pytest.raises(MemoryError):
        fit(given, [StopAt(12, "crash")], out=folder / "run")
    run = RunFolder(folder / "run")
    best = run.best()
    assert best is not None
    other = {name: tensor + 1 for name, tensor in run.objects.get(best.digest).items()}
    equal = best.model_copy(update={"kind": "co_best", "step": 16, "digest": run.objects.put(other).digest})
    run.write_kept([best, equal])
    return run.path


@pytest.fixture(scope="module")
def study(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trials that have completed, of a study that has not; the second is the better one."""
    root = tmp_path_factory.mktemp("study")
    sections = {"model": native(tiny_bert), "train": TRAIN, "checkpoint": {"keep_best": 2}, **LORA}
    for number in (0, 1):
        given = config(str(tiny_bert), write_rows(root), seed=number, **sections)
        result = fit(given, out=root / "trials" / str(number), study=root)
        value = {0: 0.4, 1: 0.6}[number]
        judged = result.objective.model_copy(update={"value": value})
        rewrite(root / "trials" / str(number), result.model_copy(update={"objective": judged}))
    return root


def rewrite(folder: Path, result: RunResult) -> None:
    (folder / "result.json").write_text(result.model_dump_json())


def logits(folder: Path) -> np.ndarray:
    return load(folder).logits(ROWS, precision="fp32")


def card(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "tunery.json").read_text())
    return told


def test_a_finished_run_gives_what_its_best_is(finished: Path, tmp_path: Path) -> None:
    assert export_run(finished, tmp_path / "new" / "out") == tmp_path / "new" / "out"
    assert contents(tmp_path / "new" / "out") == contents(finished / "best")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]
    export_run(tmp_path / "new" / "out", tmp_path / "again")  # an exported folder is a source too
    assert contents(tmp_path / "again") == contents(finished / "best")


def test_an_empty_folder_may_be_there_and_data_is_not_needed(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    data = finished.parent / "train.jsonl"
    with away(data):
        export_run(finished, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(finished / "best")


def test_an_unfinished_run_gives_its_best_so_far(begun: Path, tmp_path: Path) -> None:
    export_run(begun, tmp_path / "out")
    run = RunFolder(begun)
    best = run.best()
    assert best is not None
    assert card(tmp_path / "out")["weights"] == {
        "step": best.step,
        "epoch": best.epoch,
        "value": best.value,
        "unfinished": True,
    }
    assert load(tmp_path / "out").predict(["a great film"])[0].label in ("good", "bad")


def test_another_epoch_of_a_run(begun: Path, tmp_path: Path) -> None:
    export_run(begun, tmp_path / "best")
    export_run(begun, tmp_path / "equal", step=16)
    assert card(tmp_path / "equal")["weights"]["step"] == 16
    assert not np.allclose(logits(tmp_path / "best"), logits(tmp_path / "equal"))
    with pytest.raises(FolderError, match=r"those of step 3 are not; '.*run' keeps step 8, step 16$"):
        export_run(begun, tmp_path / "out", step=3)
    with pytest.raises(FolderError, match="those of trial 1 step 8 are not"):
        export_run(begun, tmp_path / "out", trial=1, step=8)


def test_an_unfinished_study_gives_the_best_completed_trial(study: Path, tmp_path: Path) -> None:
    export_run(study, tmp_path / "best")
    assert card(tmp_path / "best")["config"]["seed"] == 1 and card(tmp_path / "best")["weights"]["unfinished"]
    export_run(study, tmp_path / "other", trial=0)
    assert card(tmp_path / "other")["config"]["seed"] == 0
    with pytest.raises(FolderError, match=r"trial 7 are not; '.*' keeps trial 1 step 8, trial 0 step 8$"):
        export_run(study, tmp_path / "out", trial=7)


def test_a_finished_study_gives_its_winner(study: Path, tmp_path: Path) -> None:
    export_run(study, tmp_path / "winner", trial=0)
    with finished_with(study, tmp_path / "winner", number=0, value=0.9):
        export_run(study, tmp_path / "best")
        assert contents(tmp_path / "best") == contents(study / "best") == contents(tmp_path / "winner")
        export_run(study, tmp_path / "other", trial=1)
        assert not card(tmp_path / "other")["weights"]["unfinished"]


def test_a_better_trial_of_a_study_that_was_extended_comes_before_the_earlier_winner(
    study: Path, tmp_path: Path
) -> None:
    export_run(study, tmp_path / "winner", trial=0)
    with finished_with(study, tmp_path / "winner", number=0, value=0.4, trials=1):
        export_run(study, tmp_path / "out")
    assert card(tmp_path / "out")["config"]["seed"] == 1 and card(tmp_path / "out")["weights"]["unfinished"]


def test_a_place_that_is_taken_is_refused(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(FolderError, match="needs a folder that is new or empty, but .* is not; choose another"):
            export_run(finished, taken)
    with pytest.raises(FolderError, match="must lie outside of '.*run', but got '.*run/mine'; choose another"):
        export_run(finished, finished / "mine")
    assert (tmp_path / "file").read_text() == "mine"


def test_where_nothing_is_kept_the_reason_is_said(tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="there is no folder '.*nowhere'"):
        export_run(tmp_path / "nowhere", tmp_path / "out")
    given = config(str(tiny_bert), write_rows(tmp_path), train=TRAIN)
    with pytest.raises(MemoryError):
        fit(given, [StopAt(2, "crash")], out=tmp_path / "run")
    with pytest.raises(FolderError, match="is unfinished; run the same command again to resume it"):
        export_run(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_at_work_is_left_alone(begun: Path, tmp_path: Path) -> None:
    with held(begun), pytest.raises(FolderError, match="'.*run' is in use by process .*; wait for it"):
        export_run(begun, tmp_path / "out")


def test_nothing_half_written_stays(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def copy_badly(source: Path, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "tunery.json").write_bytes((source / "tunery.json").read_bytes())

    monkeypatch.setattr(shutil, "copytree", copy_badly)
    with pytest.raises(ExportMismatch, match="must be readable in another process"):
        export_run(finished, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_lie_as_objects_need_the_data(begun: Path, tmp_path: Path) -> None:
    with away(begun.parent / "train.jsonl"), pytest.raises(DataError, match=r"train\.jsonl"):
        export_run(begun, tmp_path / "out")


MERGEABLE: dict[str, dict[str, Any]] = {
    "none": {},
    "lora": {**LORA, "freeze": {"strategy": "adapter", "unfreeze_layernorm": True}},
    "bitfit": {"peft": {"method": "bitfit"}},
}


@pytest.mark.parametrize("method", MERGEABLE)
def test_a_merged_export_is_one_whole_model(tiny_bert: Path, tmp_path: Path, method: str) -> None:
    run = train(tiny_bert, tmp_path, **MERGEABLE[method])
    export_run(run, tmp_path / "merged", merge=True)
    plain: Any = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged").eval()
    inputs = AutoTokenizer.from_pretrained(tmp_path / "merged")(
        [row.text for row in ROWS], padding=True, return_tensors="pt"
    )
    assert np.allclose(plain(**inputs).logits.detach(), logits(run), atol=1e-6)
    assert np.allclose(logits(tmp_path / "merged"), logits(run), atol=1e-6)
    assert plain.config.id2label == {0: "bad", 1: "good"}
    assert not list((tmp_path / "merged").glob("*adapter*"))


def test_a_merged_export_keeps_a_head_of_ours_and_can_be_exported_again(tiny_gpt2: Path, tmp_path: Path) -> None:
    model = {"name": str(tiny_gpt2), "max_length": 32, "head": {"kind": "mlp", "hidden": 8}}
    run = train(tiny_gpt2, tmp_path, **LORA, model=model)
    export_run(run, tmp_path / "merged", merge=True)
    assert np.allclose(logits(tmp_path / "merged"), logits(run), atol=1e-6)
    export_run(tmp_path / "merged", tmp_path / "again", merge=True)
    assert contents(tmp_path / "again") == contents(tmp_path / "merged")


def test_an_unfinished_run_can_be_merged(begun: Path, tmp_path: Path) -> None:
    export_run(begun, tmp_path / "apart")
    export_run(begun, tmp_path / "merged", merge=True)
    assert np.allclose(logits(tmp_path / "merged"), logits(tmp_path / "apart"), atol=1e-6)
    assert card(tmp_path / "merged") == card(tmp_path / "apart")


UNMERGEABLE: dict[str, tuple[dict[str, Any], str]] = {
    "prompt": ({"peft": {"method": "prompt", "tokens": 2}}, "peft.method=prompt puts virtual tokens before the text"),
    "pfeiffer": ({"peft": {"method": "pfeiffer", "bottleneck": 4}}, "peft.method=pfeiffer puts layers with an act"),
    "library": (
        {"peft": {"method": "peft", "config": "LilyConfig"}},
        "peft.method=peft is not merged by peft",
    ),
    "quantised": ({**LORA, "model": {"quantization": "nf4"}}, "model.quantization=nf4 keeps them in fewer bits; exp"),
}


@pytest.mark.parametrize("case", UNMERGEABLE)
def test_what_cannot_be_merged_is_refused(tiny_bert: Path, tmp_path: Path, case: str) -> None:
    sections, message = UNMERGEABLE[case]
    model = {"name": str(tiny_bert), "max_length": 32, "precision": "fp32", **sections.get("model", {})}
    run = train(tiny_bert, tmp_path, **{**sections, "model": model})
    with pytest.raises(ModelError, match=message):
        export_run(run, tmp_path / "out", merge=True)
    assert not [path.name for path in tmp_path.iterdir() if "out" in path.name]


def test_a_merge_that_changes_the_answers_is_refused(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import PeftModel

    monkeypatch.setattr(PeftModel, "merge_and_unload", lambda self, safe_merge: wrong(self), raising=False)
    with pytest.raises(ExportMismatch, match="they differ by"):
        export_run(finished, tmp_path / "out", merge=True)
    assert list(tmp_path.iterdir()) == []


def wrong(model: Any) -> Any:
    merged = model.base_model.merge_and_unload()
    with torch.no_grad():
        merged.classifier.bias.add_(0.1)
    return merged


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def away(path: Path) -> Iterator[None]:
    """Within, a file is not there."""
    path.rename(path.with_suffix(".away"))
    try:
        yield
    finally:
        path.with_suffix(".away").rename(path)


@contextmanager
def finished_with(study: Path, winner: Path, *, number: int, value: float, trials: int = 2) -> Iterator[None]:
    """Within, a study has come to an end with a winner."""
    known = [
        TrialRecord(number=each, status="completed", value=0.5, params={}, seconds=1, epochs=1)
        for each in range(trials)
    ]
    best = BestTrial(number=number, value=value, config={}, test={})
    record = StudyResult(
        name="s", objective="f1_macro", direction="maximize", best=best, trials=tuple(known), counts={"total": trials},
        disk=Disk(bytes=0, keep_all_bytes=0), seconds=1,
    )  # fmt: skip
    (study / "study.json").write_text(record.model_dump_json())
    shutil.copytree(winner, study / "best")
    try:
        yield
    finally:
        shutil.rmtree(study / "best")
        (study / "study.json").unlink()


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_what_earlier_versions_exported_is_read(kind: str, tiny_bert: Path, tmp_path: Path) -> None:
    """They named no outputs, and had labels and thresholds in place of the task."""
    files = write_rows(tmp_path, multilabel=kind == "multilabel")
    model = {"name": str(tiny_bert), "max_length": 32, "head": "linear"}
    task_of_old = {"kind": kind, "calibration": "none"}
    train = {"epochs": 1, "batch_size": 8}
    fit(config("", files, task=task_of_old, train=train, model=model), out=tmp_path / "run")
    texts = ["good film", "bad day"]
    now, best = load(tmp_path / "run").predict(texts), tmp_path / "run" / "best"
    told = card(best)
    task = told.pop("task")
    del told["format"]
    told |= {"labels": task["labels"], "thresholds": task["state"].get("thresholds")}
    (best / "tunery.json").write_text(json.dumps(told))
    heads = load_file(best / "head.safetensors")
    save_file({name.removeprefix("labels."): part for name, part in heads.items()}, best / "head.safetensors")
    assert load(tmp_path / "run").predict(texts) == now
