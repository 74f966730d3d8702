"""What is exported counts when another process has read it and answers alike; else nothing is published."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tiny_runs import config, native, write_rows
from tunery import load
from tunery.errors import DiskFull, ExportMismatch
from tunery.schema import RunConfig
from tunery.store.disk.ownership import is_temporary
from tunery.store.folder import RunFolder
from tunery.train.artifacts import publish as publishing
from tunery.train.fit import fit
from tunery.train.predict.inference import Predictor

TRAIN = {"epochs": 1, "batch_size": 8, "max_steps": 4}
Tamper = Callable[[Path], None]


def make(base: Path, folder: Path, /, **sections: Any) -> RunConfig:
    return config(str(base), write_rows(folder), **{"model": native(base), "train": TRAIN, **sections})


def change_a_weight(folder: Path) -> None:
    edit(folder, lambda tensors: tensors[sorted(tensors)[-1]].view(-1)[:1].add_(0.5))


def lose_the_head(folder: Path) -> None:
    def forget(tensors: dict[str, Any]) -> None:
        for name in [name for name in tensors if "classifier" in name]:
            del tensors[name]

    edit(folder, forget)


def lose_the_file_of_the_head(folder: Path) -> None:
    (folder / "head.safetensors").unlink()


def lose_the_tokenizer(folder: Path) -> None:
    for file in folder.glob("*token*"):
        file.unlink()


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the folder's weights in place."""
    path = next(folder.glob("*model.safetensors"))
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


LORA = {"peft": {"method": "lora"}}
FAULTS: dict[str, tuple[dict[str, Any], Tamper, str]] = {
    "weight of the model": ({}, change_a_weight, "they differ by .*; nothing was published"),
    "weight of the adapter": (LORA, change_a_weight, "they differ by"),
    "head of the model": ({}, lose_the_head, "must hold all of its weights, .* lacks 2 .*classifier.bias"),
    "head in the adapter": (LORA, lose_the_head, "the adapter in .* does not fit its base: .*classifier.weight"),
    "head of ours": ({"model": {"head": "linear"}}, lose_the_file_of_the_head, "the head in .* does not fit"),
    "tokenizer": (LORA, lose_the_tokenizer, "must be readable in another process, but .* is not .ModelError: .*loaded"),
}


@pytest.fixture
def tampered(monkeypatch: pytest.MonkeyPatch) -> Callable[[Tamper], None]:
    """Lets something happen to every export between writing and reading."""
    export = publishing.export

    def with_fault(tamper: Tamper) -> None:
        def broken(*given: Any, **named: Any) -> None:
            export(*given, **named)
            tamper(given[2])

        monkeypatch.setattr(publishing, "export", broken)

    return with_fault


@pytest.mark.parametrize("fault", FAULTS)
def test_an_export_that_is_not_the_model_is_not_published(
    tiny_bert: Path, tmp_path: Path, tampered: Callable[[Tamper], None], fault: str
) -> None:
    sections, tamper, message = FAULTS[fault]
    model = {"name": str(tiny_bert), "max_length": 32, "precision": "fp32", **sections.get("model", {"head": "native"})}
    tampered(tamper)
    with pytest.raises(ExportMismatch, match=message):
        fit(make(tiny_bert, tmp_path, **{**sections, "model": model}), out=tmp_path / "run")
    assert not (tmp_path / "run" / "best").exists()
    assert not [path.name for path in (tmp_path / "run").iterdir() if path.name.endswith(".tmp")]
    assert RunFolder(tmp_path / "run").result() is None


def test_an_earlier_export_stays_when_a_later_one_fails(
    tiny_bert: Path, tmp_path: Path, tampered: Callable[[Tamper], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    given, out = make(tiny_bert, tmp_path), tmp_path / "run"
    stop_before_the_result(monkeypatch)
    with pytest.raises(MemoryError):
        fit(given, out=out)
    before = {path.name: path.read_bytes() for path in (out / "best").iterdir()}
    tampered(change_a_weight)
    with pytest.raises(ExportMismatch):
        fit(given, out=out)
    assert {path.name: path.read_bytes() for path in (out / "best").iterdir()} == before


def test_a_crash_between_export_and_result_is_made_good_by_the_same_call(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, out = make(tiny_bert, tmp_path), tmp_path / "run"
    with monkeypatch.context() as patched:
        stop_before_the_result(patched)
        with pytest.raises(MemoryError):
            fit(given, out=out)
    assert (out / "best").is_dir() and not (out / "result.json").exists()
    again = fit(given, out=out)
    (tmp_path / "other").mkdir()
    once = fit(make(tiny_bert, tmp_path), out=tmp_path / "other")
    assert again.metrics == once.metrics
    assert weights(out / "best") == weights(tmp_path / "other" / "best")


@pytest.mark.parametrize("sections", [{}, LORA], ids=["full", "lora"])
def test_a_trial_is_exported_read_and_removed_again(
    tiny_bert: Path, tmp_path: Path, tampered: Callable[[Tamper], None], sections: dict[str, Any]
) -> None:
    seen: list[list[str]] = []
    tampered(lambda folder: seen.append(sorted(path.name for path in folder.iterdir())))
    trial = tmp_path / "study" / "trials" / "0"
    result = fit(make(tiny_bert, tmp_path, **sections), out=trial, study=tmp_path / "study")
    assert result.status == "completed" and len(seen) == 1 and "tokenizer.json" in seen[0]
    assert not (trial / "best").exists() and not any(map(is_temporary, trial.iterdir()))


def test_a_trial_whose_weights_do_not_survive_the_export_fails(
    tiny_bert: Path, tmp_path: Path, tampered: Callable[[Tamper], None]
) -> None:
    tampered(change_a_weight)
    trial = tmp_path / "study" / "trials" / "0"
    with pytest.raises(ExportMismatch, match="they differ by"):
        fit(make(tiny_bert, tmp_path), out=trial, study=tmp_path / "study")
    assert not (trial / "result.json").exists() and not [
        path for place in trial.glob(".staging*") for path in place.iterdir()
    ]


def test_the_card_says_which_weights_they_are(tiny_bert: Path, tmp_path: Path) -> None:
    result = fit(make(tiny_bert, tmp_path), out=tmp_path / "run")
    card = json.loads((tmp_path / "run" / "best" / "tunery.json").read_text())
    value = result.objective.value
    assert card["weights"] == {"step": 4, "epoch": pytest.approx(0.5), "value": value, "unfinished": False}
    assert load(tmp_path / "run").labels == ("bad", "good")


def stop_before_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends like one whose process dies when `best/` is there and is about to be scored on test."""

    def die(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(Predictor, "jackknife", die)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_a_disk_that_refuses_is_told_by_its_number_and_leaves_nothing(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(publishing, "export", full)
    with pytest.raises(DiskFull, match=r"No space left on device: .*\.best\..*tmp"):
        fit(make(tiny_bert, tmp_path), out=tmp_path / "run")
    assert not list((tmp_path / "run").glob(".best*"))
