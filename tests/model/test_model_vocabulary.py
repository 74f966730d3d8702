from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForMaskedLM, GPT2Config, GPT2LMHeadModel

from language_models import CAUSAL, FAMILIES, MASKED, batch_of, output_of, write_model
from tunery.errors import ModelError
from tunery.model.backbones.backbone import load_tokenizer
from tunery.model.backbones.structure import find_layers
from tunery.model.build import Built, build
from tunery.model.heads import vocabulary
from tunery.model.peft.method import LoadedBase
from tunery.model.peft.methods import METHODS
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import Model
from tunery.schema.config.peft import Lora, NoPeft, Prompt

TEXTS = ("one two three four", "the good film was bad and I do not like it", "word")
CHANGED = ("gemma2", "cohere", "granite")
"""Families that bound or scale what the decoder gives."""


def made(name: str, folder: Path, *, bare: bool = False, peft: Any = None, **options: Any) -> Built:
    model = write_model(name, folder, bare=bare)
    outputs: Any = output_of(name)
    spec = Model(name=str(model), max_length=64)
    return build(spec, outputs=outputs, peft=peft or NoPeft(), freeze=NoFreeze(), **options)


def plain_losses(built: Built, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """From all logits at once."""
    tokens: Any = {name: tensor for name, tensor in batch.items() if name != "targets"}
    logits = built.pretrained(**tokens).logits
    return F.cross_entropy(logits.transpose(1, 2), batch["targets"], reduction="none")


@pytest.mark.parametrize("name", FAMILIES)
def test_loss_and_gradients_are_those_of_all_logits(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = made(name, tmp_path)
    built.module.eval()
    batch = batch_of(load_tokenizer(built.base), name, *TEXTS)
    monkeypatch.setattr(vocabulary, "MOST_LOGITS", 3 * 600 + 1)  # three or four places at a time
    found: Any = []
    for losses in (lambda: built.module(**batch)["token_loss"], lambda: plain_losses(built, batch)):
        built.module.zero_grad()
        told = losses()
        (told * torch.linspace(1, 2, told.shape[1])).sum().backward()
        found.append((told.detach(), {n: p.grad for n, p in built.module.named_parameters() if p.grad is not None}))
    (told, gradients), (expected, others) = found
    assert torch.allclose(told, expected, atol=1e-5) and bool((told > 0).any())
    assert bool((told[batch["targets"] == -100] == 0).all())
    assert gradients.keys() == others.keys()
    assert all(torch.allclose(gradients[part], others[part], atol=1e-5) for part in others)
    with torch.no_grad():
        hits = built.module(**batch)["token_hits"]
        tokens = {part: tensor for part, tensor in batch.items() if part != "targets"}
        assert torch.equal(hits, built.pretrained(**tokens).logits.argmax(dim=-1) == batch["targets"])  # type: ignore[operator]


@pytest.mark.parametrize("name", FAMILIES)
def test_families_that_change_logits_are_found(name: str, tmp_path: Path) -> None:
    built: Any = made(name, tmp_path)
    assert built.module.in_chunks == (name not in CHANGED)


class Largest(TorchDispatchMode):
    """The most numbers that a tensor has that is computed within."""

    size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        parts = result if isinstance(result, tuple | list) else (result,)
        self.size = max([self.size, *(part.numel() for part in parts if isinstance(part, torch.Tensor))])
        return result


def largest_of(built: Built, batch: dict[str, torch.Tensor], *, training: bool) -> int:
    with Largest() as largest, torch.set_grad_enabled(training):
        loss = built.module(**batch)["token_loss"].sum()
        if training:
            loss.backward()
    return largest.size


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["llama", "roberta"])
def test_no_more_logits_are_there_than_those_of_a_chunk(
    name: str, training: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = made(name, tmp_path)
    built.train()
    tokenizer = load_tokenizer(built.base)
    batch = batch_of(tokenizer, name, *["the worst film in the world and I liked it"] * 24)
    vocabulary_size, places = len(tokenizer), int((batch["targets"] != -100).sum())
    embeddings = vocabulary_size * 32
    assert largest_of(built, batch, training=training) >= places * vocabulary_size > 4 * embeddings
    monkeypatch.setattr(vocabulary, "MOST_LOGITS", 8 * vocabulary_size)
    assert largest_of(built, batch, training=training) <= max(embeddings, 2 * places * 64)


@pytest.mark.parametrize("name", CAUSAL)
def test_texts_in_one_row_are_told_as_alone(name: str, tmp_path: Path) -> None:
    built = made(name, tmp_path)
    built.module.eval()
    with torch.no_grad():
        for part in built.module.parameters():
            part.mul_(8)  # a text that sees another is not to be missed
        tokenizer = load_tokenizer(built.base)
        alone = [batch_of(tokenizer, name, text) for text in TEXTS]
        expected = torch.cat([built.module(**batch)["token_loss"][0] for batch in alone])
        numbers = torch.repeat_interleave(torch.arange(3), torch.tensor([len(b["targets"][0]) for b in alone]))
        joined = {key: torch.cat([batch[key][0] for batch in alone]) for key in ("input_ids", "targets")}
        padding = {"input_ids": 0, "targets": -100, "segments": -1}
        joined["segments"] = numbers
        rows = {key: F.pad(row, (0, 5), value=padding[key])[None] for key, row in joined.items()}
        mask = {"attention_mask": F.pad(torch.ones_like(numbers), (0, 5))[None]}
        packed = built.module(**rows, **mask)["token_loss"][0]
        mixed = built.module(**{**rows, "segments": rows["segments"].clamp(max=0)}, **mask)["token_loss"][0]
    assert torch.allclose(packed[: len(expected)], expected, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(mixed[: len(expected)], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.bare])
@pytest.mark.parametrize("peft", [NoPeft(), Lora()], ids=["full", "lora"])
def test_a_base_without_a_head_gets_one_over_its_embeddings(name: str, peft: Any, tmp_path: Path) -> None:
    built: Any = made(name, tmp_path, bare=True, peft=peft)
    decoder = built.pretrained.get_output_embeddings()
    assert decoder.weight is built.embeddings.weight
    trained = {name.rpartition("backbone.")[2] for name in built.roles.head}
    assert bool(trained) == (name in MASKED)
    if isinstance(peft, Lora):
        assert all(".modules_to_save." in name for name in trained)
        size = sum(built.module.get_parameter(name).numel() for name in built.roles.head)
        assert size in (0, 32 * 32 + 3 * 32), "the layer before the decoder, and not the words"


def test_gpt2_small_with_lora_counts_as_it_is_known_to() -> None:
    with torch.device("meta"):
        model: Any = GPT2LMHeadModel(GPT2Config())
        loaded = LoadedBase(model, find_layers(model.transformer), "transformer.", (), "CAUSAL_LM")
        module = METHODS[Lora].wrap(Lora(r=8), loaded).module
    sizes = {name: (part.numel(), part.requires_grad) for name, part in module.named_parameters()}
    assert sum(size for size, trained in sizes.values() if trained) == 294_912
    assert sum(size for size, _ in sizes.values()) == 124_734_720


def test_the_direction_of_a_model_is_that_of_the_task(tmp_path: Path) -> None:
    bert = Model(name=str(write_model("bert", tmp_path)), max_length=64)
    outputs: Any = output_of("gpt2")
    with pytest.raises(ModelError, match="this 'bert' model reads in both directions; take task.kind=mlm"):
        build(bert, outputs=outputs, peft=NoPeft(), freeze=NoFreeze())


def test_what_reads_across_texts_is_not_packed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="reads across them; write task.packing=false"):
        made("gpt2", tmp_path, peft=Prompt(tokens=2))


def test_checkpointing_changes_nothing(tmp_path: Path) -> None:
    found = []
    for checkpointing in (False, True):
        built = made("gpt2", tmp_path, gradient_checkpointing=checkpointing)
        built.train()
        batch = batch_of(load_tokenizer(built.base), "gpt2", *TEXTS)
        torch.manual_seed(0)
        built.module(**batch)["token_loss"].sum().backward()
        found.append(built.embeddings.weight.grad.clone())  # type: ignore[union-attr,operator]
    assert torch.allclose(*found, atol=1e-5)


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_layers_in_few_bits_train_adapters_and_the_head_stays_whole(quantization: str, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    spec = Model(name=str(write_model("gpt2", tmp_path)), max_length=64, quantization=quantization)  # type: ignore[arg-type]
    outputs: Any = output_of("gpt2")
    built: Any = build(spec, outputs=outputs, peft=Lora(), freeze=NoFreeze())
    built.train()
    built.module(**batch_of(load_tokenizer(built.base), "gpt2", *TEXTS))["token_loss"].sum().backward()
    assert all(built.module.get_parameter(name).grad is not None for name in built.trainable)
    model = built.pretrained
    assert model.get_output_embeddings().weight is built.embeddings.weight and built.module.in_chunks
    assert built.embeddings.weight.dtype == torch.float32


def test_a_fresh_head_is_what_transformers_makes_of_the_base(tmp_path: Path) -> None:
    built: Any = made("bert", tmp_path, bare=True)
    plain = AutoModelForMaskedLM.from_pretrained(str(tmp_path))
    assert dict(plain.named_parameters()).keys() == dict(built.pretrained.named_parameters()).keys()
