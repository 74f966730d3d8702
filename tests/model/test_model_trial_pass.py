"""In every family: a row alone answers as in a padded batch, every token has an embedding, an export is complete."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_model_families import FAMILIES
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from conftest import save, word_pieces
from model_answers import labels_of
from tunery.errors import ModelError
from tunery.model.backbones.backbone import load_tokenizer
from tunery.model.build import Built, build
from tunery.model.export import export, load_exported
from tunery.model.peft.tuner import Beside
from tunery.model.trial_pass import check_answers
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import LinearHead, Model, NativeHead
from tunery.schema.config.peft import Houlsby, Lora, NoPeft
from tunery.schema.config.task import LabelOutput

LABELS = {"labels": LabelOutput(labels=("a", "b", "c"), problem="single_label")}
NUMBERED_FROM_PADDING = ("roberta", "xlm-roberta", "longformer")
"""Families whose position table begins after the padding token's id."""
CAUSAL = ("gpt2", "llama", "qwen2", "qwen3")


def saved(family: str, folder: Path, /, **config: Any) -> Path:
    """A tiny random model of a family, with a tokenizer that pads with id 0."""
    tokenizer = word_pieces(model_input_names=["input_ids", "attention_mask"])
    room = {"vocab_size": len(tokenizer) + 2}  # the tokenizer of Qwen adds one of its own
    told = {**FAMILIES[family][1], **room, "pad_token_id": tokenizer.pad_token_id, **config}
    return save(folder, lambda: AutoModel.from_config(AutoConfig.for_model(family, **told)), tokenizer)


def made(folder: Path, head: Any = None, peft: Any = None, *, max_length: int = 28) -> Built:
    torch.manual_seed(0)
    spec = Model(name=str(folder), head=head or NativeHead(), max_length=max_length)
    return build(spec, outputs=LABELS, peft=peft or NoPeft(), freeze=NoFreeze())


def probabilities(module: nn.Module, rows: list[list[int]], pad: int) -> torch.Tensor:
    longest = max(map(len, rows))
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    with torch.no_grad():
        answer: torch.Tensor = labels_of(module.eval(), input_ids=ids, attention_mask=mask).softmax(dim=-1)
    return answer


@pytest.mark.parametrize("head", [NativeHead(), LinearHead()], ids=lambda head: head.kind)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_answers_alone_as_in_a_batch_whatever_the_config_calls_padding(
    family: str, head: Any, tmp_path: Path
) -> None:
    folder = saved(family, tmp_path, pad_token_id=7)
    if family in NUMBERED_FROM_PADDING:
        with pytest.raises(ModelError, match=r"numbers the positions .*pad_token_id=7.* pads with '\[PAD\]' \(id 0\)"):
            made(folder, head)
        folder = saved(family, tmp_path)
    built = made(folder, head)
    with torch.no_grad():
        for name in sorted(built.roles.head):
            built.module.get_parameter(name).mul_(20)  # answers far apart
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randint(8, 200, (length,), generator=draw).tolist() for length in (2, 3, 5, 9, 17, 28)]
    pad = load_tokenizer(built.base).pad_token_id
    together = probabilities(built.module, rows, pad)
    alone = torch.cat([probabilities(built.module, [row], pad) for row in rows])
    assert torch.allclose(alone, together, atol=1e-5)
    assert float(together.std(dim=0).max()) > 1e-3  # the answers do differ between the rows


def test_sparse_attention_that_depends_on_the_batch_is_refused(tmp_path: Path) -> None:
    folder = saved("big_bird", tmp_path)
    with pytest.raises(ModelError, match="longer than 28 tokens; take model.max_length=28, or"):
        made(folder, max_length=29)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_of_an_export_comes_from_its_files(family: str, tmp_path: Path) -> None:
    spec = Model(name=str(saved(family, tmp_path / "base")), head=NativeHead())
    built, folder = made(tmp_path / "base"), tmp_path / "out"
    with torch.no_grad():
        for parameter in built.module.parameters():
            parameter.add_(0.01)
    export(built, load_tokenizer(built.base), folder, outputs=LABELS, spec=spec, peft=NoPeft())
    loaded = dict(load_exported(folder, model_spec=spec, peft=NoPeft(), outputs=LABELS).named_parameters())
    assert all(torch.equal(part, loaded.pop(name)) for name, part in built.module.named_parameters())
    assert not loaded
    tensors = load_file(folder / "model.safetensors")
    lost = next(name for name in tensors if name in built.roles.head)
    save_file({name: part for name, part in tensors.items() if name != lost}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=f"must hold all of its weights, but .* lacks 1 of them.*{lost}"):
        load_exported(folder, model_spec=spec, peft=NoPeft(), outputs=LABELS)


@pytest.mark.parametrize("peft", [NoPeft(), Lora(r=2)], ids=lambda peft: peft.method)
@pytest.mark.parametrize("head", [NativeHead(), LinearHead()], ids=lambda head: head.kind)
def test_a_head_for_other_labels_than_those_of_the_export_is_refused(
    head: Any, peft: Any, tiny_bert: Path, tmp_path: Path
) -> None:
    spec = Model(name=str(tiny_bert), head=head)
    built = made(tiny_bert, head, peft)
    export(built, load_tokenizer(built.base), tmp_path, outputs=LABELS, spec=spec, peft=peft)
    more = {"labels": LabelOutput(labels=("a", "b", "c", "d"), problem="single_label")}
    with pytest.raises(ModelError, match="another shape|does not fit"):
        load_exported(tmp_path, model_spec=spec, peft=peft, outputs=more)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_token_stands_for_the_text_where_it_sees_it(family: str, tmp_path: Path) -> None:
    folder, head = saved(family, tmp_path), LinearHead(pooling="cls")
    if family in CAUSAL:
        with pytest.raises(ModelError, match="first token sees the whole text.*take model.head.pooling=mean"):
            made(folder, head)
    else:
        made(folder, head)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mix_reads_the_states_of_the_last_two_layers(family: str, tmp_path: Path) -> None:
    built = made(saved(family, tmp_path), LinearHead(pooling="last_2_layer_mix"))
    ids = torch.tensor([[9, 30, 31, 40, 12]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    head: Any = built.module.eval()
    with torch.no_grad():
        layers = head.backbone(**inputs, output_hidden_states=True).hidden_states
        for weights, states in (((0.0, -99.0), layers[-2]), ((-99.0, 0.0), head.backbone(**inputs)[0])):
            head.heads["labels"].pool.weights.copy_(torch.tensor(weights))
            expected = head.heads["labels"].layers(states.mean(dim=1))
            assert torch.allclose(labels_of(head, **inputs), expected, atol=1e-5)


def test_more_tokens_than_embeddings_are_refused(tiny_bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(tiny_bert, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    embeddings = len(tokenizer)
    tokenizer.add_tokens(["unheard"])
    tokenizer.save_pretrained(folder)
    told = rf"has {embeddings + 1} tokens and .* embeds {embeddings}; .*resize_token_embeddings\({embeddings + 1}\)"
    with pytest.raises(ModelError, match=told):
        made(folder)
    spec = Model(name=str(tiny_bert), head=NativeHead())
    export(made(tiny_bert), tokenizer, tmp_path / "out", outputs=LABELS, spec=spec, peft=NoPeft())
    with pytest.raises(ModelError, match=told):
        load_exported(tmp_path / "out", model_spec=spec, peft=NoPeft(), outputs=LABELS)


def test_a_padding_id_of_the_config_beyond_the_embeddings_does_no_harm(tmp_path: Path) -> None:
    folder = saved("llama", tmp_path)
    config = AutoConfig.from_pretrained(folder)
    config.pad_token_id = 10_000
    config.save_pretrained(folder)
    module: Any = made(folder).module
    assert module.config.pad_token_id == 0


@pytest.mark.parametrize("tokens", [9, 16])
def test_a_parallel_adapter_reads_the_input_of_its_block_and_nothing_else(tokens: int, tmp_path: Path) -> None:
    """With shared keys, DeBERTa puts the embeddings of 16 relative positions through its query too."""
    shared = {"share_att_key": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8}
    built = made(saved("deberta-v2", tmp_path, **shared), peft=Houlsby(parallel=True, bottleneck=4))
    read: list[torch.Tensor] = []
    entered: list[torch.Tensor] = []
    for name, part in built.module.named_modules():
        if isinstance(part, Beside) and ".attention." in name:
            part.bottleneck["default"].register_forward_pre_hook(lambda _, args: read.append(args[0]))
        if type(part).__name__ == "DebertaV2Layer":
            part.register_forward_pre_hook(lambda _, args: entered.append(args[0]))
    built.module.eval()(input_ids=torch.arange(8, 8 + tokens)[None])
    assert len(read) == len(entered) == 2
    assert all(torch.equal(one, other) for one, other in zip(read, entered, strict=True))


def test_the_trial_leaves_no_trace(tiny_bert: Path) -> None:
    module: Any = made(tiny_bert, peft=Lora(r=2)).train()
    modes = [part.training for part in module.modules()]
    weights = {name: part.clone() for name, part in module.state_dict().items()}
    random = torch.random.get_rng_state()
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    check_answers(module, tokenizer, outputs=LABELS, config=module.config, max_length=16)
    assert torch.equal(random, torch.random.get_rng_state())
    assert modes == [part.training for part in module.modules()]
    assert all(torch.equal(part, weights[name]) for name, part in module.state_dict().items())
