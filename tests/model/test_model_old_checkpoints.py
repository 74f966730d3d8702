"""Checkpoints from before safetensors (`pytorch_model.bin`), and of modules around a model."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tunery.errors import ModelError
from tunery.model.build import Built, build
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import Head, LinearHead, Model, NativeHead
from tunery.schema.config.peft import Lora
from tunery.schema.config.task import LabelOutput


class RunsWhenRead:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.mark,)


def old(base: Path, folder: Path, *, more: dict[str, Any], zipped: bool) -> Path:
    """A copy of a model whose weights are as torch writes them, with `more` beside them."""
    shutil.copytree(base, folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({**weights, **more}, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    return folder


def made(folder: Path, *, head: Head | None = None) -> Built:
    torch.manual_seed(0)
    outputs = {"labels": LabelOutput(labels=("no", "yes"), problem="single_label")}
    return build(Model(name=str(folder), head=head or LinearHead()), outputs=outputs, peft=Lora(), freeze=NoFreeze())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_an_old_checkpoint_is_the_same_model(tiny_bert: Path, tmp_path: Path, zipped: bool) -> None:
    new, read = made(tiny_bert), made(old(tiny_bert, tmp_path / "old", more={}, zipped=zipped))
    for (name, before), (other, after) in zip(
        new.module.named_parameters(), read.module.named_parameters(), strict=True
    ):
        assert name == other and torch.equal(before, after)
    assert read.base_digest.startswith("sha256:")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_code_beside_whole_weights_is_not_run(tiny_bert: Path, tmp_path: Path, zipped: bool) -> None:
    mark = tmp_path / "mark"
    folder = old(tiny_bert, tmp_path / "old", more={"more": RunsWhenRead(mark)}, zipped=zipped)
    with pytest.raises(ModelError, match="a pickle with more in it than tensors, which would run as code; take safet"):
        made(folder)
    assert not mark.exists()


@pytest.mark.parametrize("head", [LinearHead(), NativeHead()], ids=["linear", "native"])
def test_weights_of_a_module_around_the_model_are_found(tiny_bert: Path, tmp_path: Path, head: Head) -> None:
    """As classifiers are saved that hold a model as `self.model`, and a layer of their own."""
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "held"))
    weights = {f"model.{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    save_file({**weights, "fc.weight": torch.ones(3, 32)}, folder / "model.safetensors", metadata={"format": "pt"})
    plain, held = (dict(made(path, head=head).module.named_parameters()) for path in (tiny_bert, folder))
    for name, value in plain.items():
        if "lora" not in name and "classifier" not in name and "heads" not in name:
            assert torch.equal(value, held[name])
    assert plain.keys() == held.keys()


def test_weights_of_another_model_are_still_refused(tiny_bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "other"))
    weights = {f"model.{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    weights.pop("model.encoder.layer.1.output.dense.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="the checkpoint must hold the weights of every layer"):
        made(folder)
