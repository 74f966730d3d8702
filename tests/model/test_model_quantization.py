"""Frozen weights in 4 or 8 bits: what is quantised, that it trains, that it is exact where it can be."""

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from model_answers import labels_of
from tunery.errors import MissingExtra
from tunery.model.backbones.backbone import load_tokenizer
from tunery.model.build import Built, build
from tunery.model.export import export, load_exported
from tunery.model.trainable import count_parameters, load_trainable, trainable_state
from tunery.schema.config.freeze import FreezeToAdapter, NoFreeze
from tunery.schema.config.model import LinearHead, Model, NativeHead
from tunery.schema.config.peft import AdaLora, Dora, Lora, LoraPlus, RsLora
from tunery.schema.config.task import LabelOutput

pytest.importorskip("bitsandbytes")

HEAD = {"labels": LabelOutput(labels=("no", "maybe", "yes"), problem="single_label")}
KINDS = ("nf4", "int8")
FAMILY = {spec.method: spec for spec in (Lora(), LoraPlus(), Dora(), RsLora(), AdaLora())}
ALL_SIX = ("query", "key", "value", "output", "ffn.up", "ffn.down")


def spec(folder: Path, quantization: Any, *, head: Any = NativeHead()) -> Model:  # noqa: B008
    return Model(name=str(folder), head=head, quantization=quantization)


def make(model: Model, peft: Any = Lora(), freeze: Any = NoFreeze(), **more: Any) -> Built:  # noqa: B008
    torch.manual_seed(3)
    return build(model, outputs=HEAD, peft=peft, freeze=freeze, **more)


def batch(built: Built) -> dict[str, torch.Tensor]:
    texts = ["a good film", "the worst book in the world", "not bad", "we want to see it again"]
    return dict(load_tokenizer(built.base)(texts, padding=True, return_tensors="pt"))


def train(built: Built, *, steps: int, precision: torch.dtype | None = None) -> None:
    built.train()
    optimizer = torch.optim.AdamW([part for part in built.module.parameters() if part.requires_grad], lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        with torch.autocast("cpu", precision, enabled=precision is not None):
            logits = labels_of(built.module, **batch(built))
        torch.nn.functional.cross_entropy(logits.float(), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()


def answer(module: nn.Module, built: Built) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = labels_of(module.eval(), **batch(built))
    return logits


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["tiny_bert", "tiny_distilbert", "tiny_roberta", "tiny_gpt2"])
def test_the_matrices_of_the_layers_are_quantised_and_nothing_else(
    kind: str, name: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(name)
    for head in (NativeHead(), LinearHead()):
        module = make(spec(folder, kind, head=head)).module
        small = {name for name, part in module.named_parameters() if not part.is_floating_point()}
        plain = make(spec(folder, None, head=head)).module
        layers = (".layer.", ".h.")
        expected = {
            name
            for name, part in plain.named_parameters()
            if part.ndim == 2 and "lora_" not in name and any(path in name for path in layers)
        }
        assert small == expected
        rest = {part.dtype for name, part in module.named_parameters() if name not in small}
        assert rest == {torch.float32}


@pytest.mark.parametrize("kind", KINDS)
def test_the_count_is_that_of_the_unpacked_model(kind: str, tiny_bert: Path) -> None:
    assert count_parameters(make(spec(tiny_bert, kind))) == count_parameters(make(spec(tiny_bert, None)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", [NativeHead(), LinearHead()], ids=lambda head: head.kind)
@pytest.mark.parametrize("method", FAMILY)
def test_it_trains_and_its_export_answers_the_same(
    method: str, head: Any, kind: str, tiny_bert: Path, tmp_path: Path
) -> None:
    model, peft = spec(tiny_bert, kind, head=head), FAMILY[method]
    built = make(model, peft)
    before = {name: part.detach().clone() for name, part in built.module.named_parameters()}
    train(built, steps=3)
    moved = {name for name, part in built.module.named_parameters() if not torch.equal(part, before[name])}
    assert moved == built.trainable
    export(built, load_tokenizer(built.base), tmp_path / "out", outputs=HEAD, spec=model, peft=peft)  # type: ignore[arg-type]
    loaded = load_exported(tmp_path / "out", model_spec=model, peft=peft, outputs=HEAD)  # type: ignore[arg-type]
    torch.testing.assert_close(answer(loaded, built), answer(built.module, built), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_owned_state_carries_the_training_into_a_new_model(kind: str, tiny_bert: Path) -> None:
    built, other = make(spec(tiny_bert, kind)), make(spec(tiny_bert, kind))
    train(built, steps=2)
    load_trainable(other, trainable_state(built))
    assert torch.equal(answer(other.module, built), answer(built.module, built))


@pytest.mark.parametrize(("kind", "tolerance"), [("nf4", 0.15), ("int8", 0.02)])
def test_it_answers_nearly_like_the_model_it_was_made_from(kind: str, tolerance: float, tiny_bert: Path) -> None:
    plain, small = make(spec(tiny_bert, None)), make(spec(tiny_bert, kind))
    exact, near = (answer(built.module, plain) for built in (plain, small))
    assert not torch.equal(exact, near)
    assert (exact - near).abs().max() < tolerance * exact.abs().max()


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_unpacked_weights_also_after_an_evaluation(kind: str, tiny_bert: Path) -> None:
    """On CPUs with bf16, bitsandbytes' own layer stops gradients once it has been evaluated."""
    lora = Lora(dropout=0.0, target=ALL_SIX, bias="all")
    built, plain = make(spec(tiny_bert, kind), lora), make(spec(tiny_bert, None), lora)
    unpack(built.module, into=plain.module)
    answer(built.module, built)
    for one in (built, plain):
        train_once(one)
    for name in built.trainable:
        torch.testing.assert_close(gradient(built, name), gradient(plain, name), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_leaves_the_biases_alone(kind: str, tiny_bert: Path) -> None:
    built = make(spec(tiny_bert, kind), Lora(bias="all"))
    train(built, steps=2, precision=torch.bfloat16)
    assert {part.dtype for part in built.module.parameters() if part.is_floating_point()} == {torch.float32}


@pytest.mark.parametrize("kind", KINDS)
def test_unfrozen_norms_are_trained_beside_it(kind: str, tiny_bert: Path) -> None:
    built = make(spec(tiny_bert, kind), Lora(), FreezeToAdapter(unfreeze_layernorm=True))
    train(built, steps=1)
    assert sum("LayerNorm" in name for name in built.trainable) == 2 * 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("twin", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_a_copy_answers_the_same(kind: str, twin: Callable[[nn.Module], nn.Module], tiny_bert: Path) -> None:
    built = make(spec(tiny_bert, kind))
    assert torch.equal(answer(twin(built.module), built), answer(built.module, built))


def test_the_library_is_asked_for_where_it_is_missing(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # so it looks to Python where it is not installed
    with pytest.raises(MissingExtra, match=r"bitsandbytes is not installed. Type: pip install 'tunery\[quant\]'"):
        make(spec(tiny_bert, "nf4"))


@pytest.mark.slow
def test_importing_is_silent() -> None:
    told = subprocess.run([sys.executable, "-W", "error", "-c", "import tunery; tunery.fit"], capture_output=True)
    assert (told.returncode, told.stdout, told.stderr) == (0, b"", b"")


def train_once(built: Built) -> None:
    torch.manual_seed(5)
    built.train()
    logits = labels_of(built.module, **batch(built))
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()


def unpack(small: nn.Module, *, into: nn.Module) -> None:
    """Write the values that the packed weights stand for into a model that keeps them as they are."""
    from peft.utils.integrations import dequantize_module_weight

    for name, module in small.named_modules():
        if type(module).__name__ in ("Nf4Linear", "Int8Linear"):
            into.get_submodule(name).weight.data.copy_(dequantize_module_weight(module))  # type: ignore[union-attr]


def gradient(built: Built, name: str) -> torch.Tensor:
    found = built.module.get_parameter(name).grad
    assert found is not None
    return found
