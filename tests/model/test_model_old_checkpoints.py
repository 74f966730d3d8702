"""Checkpoints from before safetensors: `pytorch_model.bin`."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tunery.errors import ModelError
from tunery.model.build import Built, build
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import LinearHead, Model
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


def made(folder: Path) -> Built:
    torch.manual_seed(0)
    outputs = {"labels": LabelOutput(labels=("no", "yes"), problem="single_label")}
    return build(Model(name=str(folder), head=LinearHead()), outputs=outputs, peft=Lora(), freeze=NoFreeze())


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
