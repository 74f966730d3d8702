"""Gradient checkpointing: the same gradients from less memory, also where layers rest."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel
from transformers.modeling_layers import GradientCheckpointingLayer

from model_answers import labels_of
from tunery.errors import ModelError
from tunery.model.backbones.checkpointing import checkpoint_activations
from tunery.model.build import Built, build
from tunery.schema.config.freeze import FreezeLayers, NoFreeze
from tunery.schema.config.model import LinearHead, Model, NativeHead
from tunery.schema.config.peft import Lora, NoPeft
from tunery.schema.config.task import LabelOutput

HEAD = {"labels": LabelOutput(labels=("no", "yes"), problem="single_label")}
CASES: dict[str, dict[str, Any]] = {
    "full": {"peft": NoPeft(), "freeze": NoFreeze()},
    "frozen-embeddings": {"peft": NoPeft(), "freeze": FreezeLayers(n=1)},
    "lora": {"peft": Lora(), "freeze": NoFreeze()},
    "nf4": {"peft": Lora(), "freeze": NoFreeze(), "quantization": "nf4"},
    "int8": {"peft": Lora(), "freeze": NoFreeze(), "quantization": "int8"},
}
HEADS = (NativeHead(), LinearHead())


def make(folder: Path, case: str, *, head: Any = NativeHead(), checkpointing: bool) -> Built:  # noqa: B008
    options = dict(CASES[case])
    if quantization := options.pop("quantization", None):
        pytest.importorskip("bitsandbytes")
    torch.manual_seed(3)
    model = Model(name=str(folder), head=head, quantization=quantization)
    return build(model, outputs=HEAD, gradient_checkpointing=checkpointing, **options)


def backward(built: Built) -> tuple[float, dict[str, Tensor]]:
    torch.manual_seed(5)
    built.train()
    ids = torch.arange(3, 35).reshape(4, 8)
    logits = labels_of(built.module, input_ids=ids, attention_mask=torch.ones_like(ids))
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 1, 0]))
    loss.backward()
    grads = {name: part.grad for name, part in built.module.named_parameters() if part.grad is not None}
    return loss.item(), grads


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_are_the_same(case: str, head: Any, tiny_bert: Path) -> None:
    kept, again = (make(tiny_bert, case, head=head, checkpointing=yes) for yes in (False, True))
    (loss, grads), (other_loss, other_grads) = backward(kept), backward(again)
    assert loss == pytest.approx(other_loss, abs=1e-7)
    assert grads.keys() == other_grads.keys() == kept.trainable
    for name, grad in grads.items():
        torch.testing.assert_close(other_grads[name], grad, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["tiny_bert", "tiny_distilbert", "tiny_roberta", "tiny_gpt2"])
def test_trained_layers_run_twice_and_resting_dropout_stays_off(
    name: str, case: str, request: pytest.FixtureRequest
) -> None:
    built = make(request.getfixturevalue(name), case, checkpointing=True)
    runs = {place: 0 for place, part in built.module.named_modules() if isinstance(part, GradientCheckpointingLayer)}

    def count(place: str) -> Any:
        def hook(module: nn.Module, inputs: Any) -> None:
            runs[place] += 1

        return hook

    for place in runs:
        norm = next(part for part in built.module.get_submodule(place).modules() if isinstance(part, nn.LayerNorm))
        norm.register_forward_pre_hook(count(place))
    backward(built)
    assert list(runs.values()) == ([1, 2] if case == "frozen-embeddings" else [2, 2])
    backbone = built.module.get_submodule(next(iter(runs)))
    if case != "full":
        inside = [
            part for place, part in backbone.named_modules() if isinstance(part, nn.Dropout) and "lora" not in place
        ]
        assert inside and not any(part.training for part in inside)


@pytest.mark.parametrize("case", CASES)
def test_a_deep_model_keeps_much_less(case: str, tiny_bert: Path, tmp_path: Path) -> None:
    config = BertConfig.from_pretrained(tiny_bert, num_hidden_layers=12)
    BertModel(config).save_pretrained(tmp_path)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).write_bytes((tiny_bert / file).read_bytes())
    kept, again = (saved_bytes(make(tmp_path, case, checkpointing=yes)) for yes in (False, True))
    assert again < kept / 3


def test_evaluation_computes_once(tiny_bert: Path) -> None:
    module = make(tiny_bert, "lora", checkpointing=True).module.eval()
    assert not any(part.training for part in module.modules())


def test_an_architecture_that_cannot_is_refused(tiny_bert: Path) -> None:
    class Once(BertModel):
        supports_gradient_checkpointing = False

    with pytest.raises(ModelError, match="train.gradient_checkpointing=true needs .* Once cannot: .* remove it"):
        checkpoint_activations(Once(BertConfig.from_pretrained(tiny_bert)))


def saved_bytes(built: Built) -> int:
    """Bytes of all activations that one forward pass keeps for the backward pass, parameters left out."""
    built.train()
    parameters = {part.data_ptr() for part in built.module.parameters()}
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in parameters:
            seen[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    ids = torch.randint(3, 300, (8, 64))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = labels_of(built.module, input_ids=ids, attention_mask=torch.ones_like(ids))
    assert logits.requires_grad
    return sum(seen.values())
