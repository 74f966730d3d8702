"""What was trained on a base is never put on another one, wherever and whenever it is loaded."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tiny_runs import StopAt, config, write_rows
from tunery import load
from tunery.errors import Interrupted, ModelError
from tunery.model.backbones import hub
from tunery.model.backbones.backbone import base_digest, require_weights
from tunery.model.backbones.catalog import recorded_base, resolve
from tunery.schema import RunConfig
from tunery.schema.config.checkpoint import Checkpoint
from tunery.schema.config.model import Model
from tunery.train.artifacts.export import export_run
from tunery.train.fit import fit


def exchange(base: Path) -> None:
    """Other weights under the same name."""
    path = base / "model.safetensors"
    save_file({name: tensor + 0.1 for name, tensor in load_file(path).items()}, path)


@pytest.fixture
def on_a_copy(tiny_bert: Path, tmp_path: Path) -> tuple[RunConfig, Path]:
    """A LoRA run on a base of its own."""
    base = tmp_path / "own" / "base"
    shutil.copytree(tiny_bert, base)
    given = config(str(base), write_rows(tmp_path), peft="lora", train={"epochs": 1, "batch_size": 16})
    return given, base


def test_an_adapter_is_refused_on_other_weights_than_it_was_trained_on(
    on_a_copy: tuple[RunConfig, Path], tmp_path: Path
) -> None:
    given, base = on_a_copy
    fit(given.model_copy(update={"checkpoint": Checkpoint(keep_best=2)}), out=tmp_path / "run")
    before = base_digest(resolve(given.model))
    exchange(base)
    now = base_digest(resolve(given.model))
    told = f"needs the base that it was trained on, {before[:19]}, .* are {now[:19]} now; put the old ones back"
    for read in (
        lambda: load(tmp_path / "run"),
        lambda: export_run(tmp_path / "run", tmp_path / "merged", merge=True),
    ):
        with pytest.raises(ModelError, match=told):
            read()
    shutil.rmtree(base)
    with pytest.raises(ModelError, match="must be there, but is not; put it back, or write the absolute name"):
        load(tmp_path / "run")


def test_a_run_is_not_taken_up_again_on_other_weights(on_a_copy: tuple[RunConfig, Path], tmp_path: Path) -> None:
    given, base = on_a_copy
    with pytest.raises(Interrupted):
        fit(given, [StopAt(2, "signal")], out=tmp_path / "run")
    exchange(base)
    with pytest.raises(ModelError, match="needs the base that it was trained on"):
        fit(given, out=tmp_path / "run")


def test_relative_names_mean_the_same_from_everywhere(
    on_a_copy: tuple[RunConfig, Path], tiny_distilbert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, base = on_a_copy
    monkeypatch.chdir(base.parent)
    relative = given.model_copy(update={"model": given.model.model_copy(update={"name": "base"})})
    result = fit(relative, out=tmp_path / "run")
    assert result.config["model"]["name"] == str(base)
    expected = load(tmp_path / "run").predict(["a great film"])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(tiny_distilbert, elsewhere / "base")
    monkeypatch.chdir(elsewhere)
    assert load(tmp_path / "run").predict(["a great film"]) == expected


def test_a_hub_model_is_found_at_its_commit_and_no_folder_stands_in_for_it(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    def snapshot(source: str, *, revision: str | None = None, **options: Any) -> str:
        asked.append((source, revision))
        folder = tmp_path / "cache" / (revision or "c0ffee")
        if not folder.exists():
            shutil.copytree(tiny_bert, folder)
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    spec = Model(name="someone/tiny")
    digest = base_digest(resolve(spec))
    assert digest == "hub:someone/tiny@c0ffee"
    shutil.copytree(tiny_bert, tmp_path / "work" / "someone" / "tiny")
    monkeypatch.chdir(tmp_path / "work")
    assert resolve(spec).local
    base = recorded_base(spec, digest)
    require_weights(base, digest)
    assert (base.local, base.source, base.revision, asked[-1]) == (
        *(False, "someone/tiny", "c0ffee", ("someone/tiny", "c0ffee")),
    )


def test_a_packaged_alias_is_found_whatever_lies_in_the_current_directory(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = resolve(Model(name="minilm"))
    shutil.copytree(tiny_bert, tmp_path / "minilm")
    monkeypatch.chdir(tmp_path)
    assert resolve(Model(name="minilm")).source == str(tmp_path / "minilm")
    assert recorded_base(Model(name="minilm"), "sha256:0") == packaged
