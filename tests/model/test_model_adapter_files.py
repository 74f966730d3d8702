"""The two files of our own methods: what goes in comes out, and what does not fit is named."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model_answers import labels_of
from tunery.errors import ModelError
from tunery.model.build import Built, build, load_base
from tunery.model.peft.methods import METHODS
from tunery.schema.config.freeze import Freeze, FreezeToAdapter, NoFreeze
from tunery.schema.config.model import LinearHead, Model, NativeHead
from tunery.schema.config.peft import BitFit, Compacter, Houlsby, Pfeiffer
from tunery.schema.config.task import LabelOutput

LABELS = {"labels": LabelOutput(labels=("no", "yes"), problem="single_label")}
SPECS: list[Any] = [
    Pfeiffer(bottleneck=4),
    Houlsby(bottleneck=4, parallel=True, scale=2),
    Compacter(bottleneck=4, phm_dim=2),
    BitFit(),
]
TOKENS = torch.arange(6, 30).reshape(2, 12)


def saved(
    folder: Path, model: Path, peft: Any, *, head: Any = None, freeze: Freeze | None = None
) -> tuple[Built, Model]:
    """A model whose trained parameters are noise, written to the folder."""
    torch.manual_seed(5)
    spec = Model(name=str(model), head=head or NativeHead())
    built = build(spec, outputs=LABELS, peft=peft, freeze=freeze or NoFreeze())
    with torch.no_grad():
        for name, part in built.module.named_parameters():
            if name in built.trainable:
                part.add_(torch.randn_like(part), alpha=0.1)
    METHODS[type(peft)].save(built.pretrained, folder, base=built.base)
    return built, spec


def load(folder: Path, spec: Model, built: Built, peft: Any) -> Any:
    torch.manual_seed(6)
    carrier, _ = load_base(spec, base=built.base, outputs=LABELS)
    return METHODS[type(peft)].load(peft, carrier, folder)


@pytest.mark.parametrize("head", [NativeHead(), LinearHead()], ids=lambda head: head.kind)
@pytest.mark.parametrize("peft", SPECS, ids=lambda peft: peft.method)
@pytest.mark.parametrize("model", ["tiny_bert", "tiny_roberta", "tiny_distilbert", "tiny_gpt2"])
def test_what_is_loaded_answers_the_same(
    model: str, peft: Any, head: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    built, spec = saved(tmp_path, request.getfixturevalue(model), peft, head=head)
    loaded = load(tmp_path, spec, built, peft)
    assert not loaded.training and not any(part.requires_grad for part in loaded.parameters())
    mask = torch.ones_like(TOKENS)
    live, read = (
        built.pretrained.eval()(input_ids=TOKENS, attention_mask=mask),
        loaded(input_ids=TOKENS, attention_mask=mask),
    )
    assert torch.equal(live[0], read[0])


@pytest.mark.parametrize("peft", SPECS, ids=lambda peft: peft.method)
def test_norms_that_were_unfrozen_come_back(tiny_bert: Path, tmp_path: Path, peft: Any) -> None:
    built, spec = saved(tmp_path, tiny_bert, peft, freeze=FreezeToAdapter(unfreeze_layernorm=True))
    assert "bert.encoder.layer.0.output.LayerNorm.weight" in load_file(tmp_path / "adapter_model.safetensors")
    loaded = load(tmp_path, spec, built, peft)
    assert torch.equal(labels_of(built.module.eval(), input_ids=TOKENS), labels_of(loaded, input_ids=TOKENS))


def test_the_description_says_what_and_on_what(tiny_bert: Path, tmp_path: Path) -> None:
    saved(tmp_path, tiny_bert, Pfeiffer(bottleneck=4))
    document = json.loads((tmp_path / "tunery_adapter.json").read_text())
    assert document["peft"] == Pfeiffer(bottleneck=4).model_dump()
    assert document["base"] == {"source": str(tiny_bert), "revision": None}


def change(folder: Path, what: str) -> None:
    state = load_file(folder / "adapter_model.safetensors")
    name = "bert.encoder.layer.0.output.LayerNorm.bottleneck.down.bias"
    bias = state.pop(name)
    renamed = {"missing": {}, "unknown": {name: bias, "elsewhere": bias.clone()}, "shape": {name: bias.repeat(2)}}[what]
    save_file({**state, **renamed}, folder / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", r"does not fit its base and config: bert\.encoder\.layer\.0\..*\.down\.bias is missing$"),
        ("unknown", r"elsewhere is unknown$"),
        ("shape", r"\.down\.bias has shape \(8,\) and not \(4,\)$"),
    ],
)
def test_what_does_not_fit_is_named(tiny_bert: Path, tmp_path: Path, what: str, message: str) -> None:
    built, spec = saved(tmp_path, tiny_bert, Pfeiffer(bottleneck=4))
    change(tmp_path, what)
    with pytest.raises(ModelError, match=message):
        load(tmp_path, spec, built, Pfeiffer(bottleneck=4))


def test_other_settings_are_refused(tiny_bert: Path, tmp_path: Path) -> None:
    built, spec = saved(tmp_path, tiny_bert, Houlsby(bottleneck=4, scale=2))
    with pytest.raises(ModelError, match=r"it was saved with peft\.scale=2\.0 and not 1\.0$"):
        load(tmp_path, spec, built, Houlsby(bottleneck=4))


@pytest.mark.parametrize("file", ["tunery_adapter.json", "adapter_model.safetensors"])
def test_an_unreadable_file_is_named(tiny_bert: Path, tmp_path: Path, file: str) -> None:
    built, spec = saved(tmp_path, tiny_bert, BitFit())
    (tmp_path / file).write_text("{")
    with pytest.raises(ModelError, match=r"must hold tunery_adapter\.json and adapter_model\.safetensors, but"):
        load(tmp_path, spec, built, BitFit())
