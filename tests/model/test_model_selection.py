"""BitFit trains the biases, all of them, and nothing else."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_model_families import wrap

from tunery.errors import ModelError
from tunery.model.build import build
from tunery.model.peft.methods import METHODS
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import LinearHead, Model
from tunery.schema.config.peft import BitFit
from tunery.schema.config.task import LabelOutput

LABELS = {"labels": LabelOutput(labels=("no", "yes"), problem="single_label")}


@pytest.mark.parametrize("family", ["bert", "distilbert", "gpt2", "deberta", "albert", "longformer"])
def test_every_bias_is_trained_and_nothing_else_but_the_head(family: str) -> None:
    module = wrap(family, BitFit())
    inner = module.base_model_prefix + "."
    for name, part in module.named_parameters():
        assert part.requires_grad == (name.endswith("bias") or not name.startswith(inner))


@pytest.mark.parametrize("family", ["llama", "modernbert"])
def test_a_model_without_biases_is_refused(family: str) -> None:
    with pytest.raises(ModelError, match="needs biases to train, but .*Model has none; take layernorm or lora"):
        wrap(family, BitFit())


def test_only_what_was_trained_is_saved(tiny_bert: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    built = build(Model(name=str(tiny_bert), head=LinearHead()), outputs=LABELS, peft=BitFit(), freeze=NoFreeze())
    METHODS[BitFit].save(built.pretrained, tmp_path, base=built.base)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert saved.keys() == {name.removeprefix("backbone.") for name in built.trainable if not name.startswith("heads.")}
    assert all(name.endswith("bias") for name in saved)
