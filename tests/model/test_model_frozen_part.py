"""The part below what is trained: it is found by what is trained, and a model that begins above it answers bit for bit
the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from conftest import save, word_pieces
from families import FAMILIES
from tunery.model.build import Built, build
from tunery.model.frozen_part import FrozenPart, LowerLayers, PooledEncoder, frozen_part
from tunery.model.heads.heads import answers_of
from tunery.schema.config.freeze import Freeze, FreezeEncoder, FreezeLayers, FreezeToAdapter, NoFreeze
from tunery.schema.config.model import LinearHead, MlpHead, Model, NativeHead
from tunery.schema.config.peft import BitFit, Lora, NoPeft, Peft, Pfeiffer, Prefix, Probe, Prompt
from tunery.schema.config.task import LabelOutput, TokenOutput, VocabularyOutput

HEAD: Final = {"labels": LabelOutput(labels=("no", "yes"), problem="single_label")}
LAYERS: Final = {
    "gpt2": {"n_layer": 6},
    "distilbert": {"n_layers": 6},
    "longformer": {"num_hidden_layers": 6, "attention_window": [8] * 6},
}
"""Family -> six layers, where these are called otherwise."""
TOP: Final = Pfeiffer(bottleneck=4, layers="top4")
TOP_LORA: Final = Lora(r=2, layers="top4", dropout=0.1)
TOKENS: Final = "its layers get other tokens than those of the text"
NOISE: Final = "its embeddings are trained, or run in training mode"
FIRST: Final = "its first layer, or what goes into it, is trained or runs in training mode"
ODD: Final = {
    ("freeze", "longformer"): TOKENS,
    ("top4", "longformer"): TOKENS,
    ("freeze", "gpt2"): NOISE,  # its dropout after the embeddings is part of no frozen module
    ("top4", "albert"): FIRST,  # all layers are the same one
    # for short texts it puts other modules in the place of its attention, which nothing keeps in eval mode
    ("freeze", "big_bird"): FIRST,
    ("top4", "big_bird"): FIRST,
}
"""Where nothing is handed on, and why."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    tokenizer = word_pieces(model_input_names=["input_ids", "attention_mask"])
    made = {}
    for family, (_, sizes) in FAMILIES.items():
        layers = LAYERS.get(family, {"num_hidden_layers": 6})
        config = AutoConfig.for_model(family, **{**sizes, **layers, "vocab_size": len(tokenizer) + 8})
        config.pad_token_id = tokenizer.pad_token_id
        folder = tmp_path_factory.mktemp(family.replace("-", "_"))
        made[family] = save(folder, lambda config=config: AutoModel.from_config(config), tokenizer)
    return made


def make(folder: Path, *, peft: Peft = NoPeft(), freeze: Freeze = NoFreeze(), head: Any = None, **more: Any) -> Built:  # noqa: B008
    torch.manual_seed(0)
    spec = Model(name=str(folder), head=head or LinearHead(), max_length=20)
    return build(spec, outputs=more.pop("outputs", HEAD), peft=peft, freeze=freeze, **more)


def batch(*lengths: int) -> dict[str, Tensor]:
    """Rows of random tokens, padded on the right."""
    draw = torch.Generator().manual_seed(7)
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(5, 100, (length,), generator=draw)
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


@contextmanager
def not_run(modules: list[nn.Module]) -> Iterator[None]:
    """Fails where one of them is run."""

    def fail(module: nn.Module, *_: Any) -> None:
        raise AssertionError(type(module).__name__)

    hooks = [module.register_forward_pre_hook(fail) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def stepped(built: Built, part: FrozenPart | None, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Answers and gradients of a step in training mode, with the same draws of dropout."""
    states = None
    if part is not None:
        built.module.eval()
        with torch.no_grad():
            states = part.states(inputs)
        if part.per_token:
            states = states * inputs["attention_mask"][..., None]
    built.module.zero_grad()
    built.train()
    torch.manual_seed(3)
    if part is None or states is None:
        answers = answers_of(built.module, inputs, built.outputs)
    else:
        answers = part.answers(states, inputs)
    (labels,) = answers.values()
    loss = nn.functional.cross_entropy(labels.reshape(-1, labels.shape[-1])[:3], torch.tensor([0, 1, 1]))
    loss.backward()
    grads = {name: p.grad.clone() for name, p in built.module.named_parameters() if p.grad is not None}
    return {"answers": labels.detach(), **grads}


def lower(built: Built, count: int) -> list[nn.Module]:
    """What is inside of the lowest layers and of the embeddings."""
    layers = [built.structure.layer(built.backbone, index) for index in range(count)]
    return [child for layer in layers for child in layer.children()]


@pytest.mark.parametrize("head", [LinearHead(), NativeHead()], ids=lambda head: head.kind)
@pytest.mark.parametrize("way", ["freeze", "top4", "lora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_above_it_is_bit_for_bit_that_of_the_whole_model(
    family: str, way: str, head: LinearHead | NativeHead, folders: dict[str, Path]
) -> None:
    count = 1 if family == "albert" else 2
    given = {"freeze": {"freeze": FreezeLayers(n=count)}, "top4": {"peft": TOP}, "lora": {"peft": TOP_LORA}}[way]
    built = make(folders[family], **given, head=head)
    names, inputs = [name for name, _ in built.module.named_modules()], batch(7, 12, 3)
    part = frozen_part(built, batch(9, 4))
    odd = ("freeze" if way == "freeze" else "top4", family)
    if odd in ODD:
        assert part == ODD[odd]
        return
    whole = family == "albert" and head.kind == "linear"  # of whose layers there is one
    assert isinstance(part, PooledEncoder if whole else LowerLayers) and part.layers == count
    assert stepped(built, part, inputs).keys() == stepped(built, None, inputs).keys() == {"answers", *built.trainable}
    plain, above = stepped(built, None, inputs), stepped(built, part, inputs)
    assert [name for name in plain if not torch.equal(plain[name], above[name])] == []
    states = part.states(inputs)
    with not_run(lower(built, count)):
        part.answers(states, inputs)
    assert [name for name, _ in built.module.named_modules()] == names
    assert all("forward" not in vars(module) for module in built.module.modules())


TRAINED: Final[dict[str, tuple[dict[str, Any], str | None]]] = {
    "nothing is frozen": ({}, "nothing is frozen"),
    "training mode": ({"freeze": FreezeLayers(n=2, eval_mode=False)}, "frozen layers run in training mode"),
    "norms": ({"freeze": FreezeLayers(n=2, unfreeze_layernorm=True)}, NOISE),
    "norms beside a method": ({"peft": TOP, "freeze": FreezeToAdapter(unfreeze_layernorm=True)}, NOISE),
    "lora": ({"peft": Lora()}, FIRST),
    "bitfit": ({"peft": BitFit()}, NOISE),
    "prefix": ({"peft": Prefix(tokens=2)}, FIRST),
    "prompt": ({"peft": Prompt(tokens=2)}, FIRST),
    "probe": ({"peft": Probe()}, None),
    "encoder": ({"freeze": FreezeEncoder()}, None),
    "encoder, norms": ({"freeze": FreezeEncoder(unfreeze_layernorm=True)}, NOISE),
}


@pytest.mark.parametrize("name", TRAINED)
def test_what_is_trained_decides(name: str, tiny_bert: Path) -> None:
    given, why = TRAINED[name]
    part = frozen_part(make(tiny_bert, **given), batch(9, 4))
    assert part == why if why else isinstance(part, PooledEncoder) and part.layers == 2


HEADS: Final[dict[str, tuple[Any, dict[str, Any], tuple[type, int]]]] = {
    "mean": (LinearHead(), HEAD, (PooledEncoder, 2)),
    "cls": (MlpHead(pooling="cls"), HEAD, (PooledEncoder, 2)),
    "attention": (LinearHead(pooling="attention"), HEAD, (LowerLayers, 2)),
    "last_2_layer_mix": (LinearHead(pooling="last_2_layer_mix"), HEAD, (LowerLayers, 1)),
    "native": (NativeHead(), HEAD, (LowerLayers, 2)),
    "tokens": (LinearHead(), {"tags": TokenOutput(labels=("no", "yes"))}, (LowerLayers, 2)),
}
"""Head, outputs -> the part of a frozen encoder, and its layers: a mix of two layers reads that before the last."""


@pytest.mark.parametrize("name", HEADS)
def test_a_frozen_encoder_is_skipped_as_far_as_the_head_does_not_read_it(name: str, tiny_bert: Path) -> None:
    head, outputs, (kind, layers) = HEADS[name]
    built = make(tiny_bert, freeze=FreezeEncoder(), head=head, outputs=outputs)
    part = frozen_part(built, batch(9, 4))
    assert isinstance(part, kind) and part.layers == layers  # type: ignore[union-attr]
    inputs = batch(7, 12, 3)
    plain, above = stepped(built, None, inputs), stepped(built, part, inputs)  # type: ignore[arg-type]
    plain, above = ({name: _real(name, value, inputs) for name, value in each.items()} for each in (plain, above))
    assert [name for name in plain if not torch.equal(plain[name], above[name])] == []
    states = part.states(inputs)  # type: ignore[union-attr]
    with not_run(lower(built, layers)):
        part.answers(states, inputs)  # type: ignore[union-attr]


def _real(name: str, value: Tensor, inputs: dict[str, Tensor]) -> Tensor:
    """Answers about padding count for nothing."""
    mask = inputs["attention_mask"].bool()
    return value[mask] if name == "answers" and value.shape[:2] == mask.shape else value


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_a_language_model_tells_tokens_from_it(family: str, folders: dict[str, Path]) -> None:
    """Also of texts that share a sequence, where these are kept apart."""
    causal = family == "llama"
    output = VocabularyOutput(direction="causal" if causal else "masked", packed=causal)
    built = make(folders[family], peft=TOP_LORA, head=NativeHead(), outputs={"tokens": output})
    inputs = batch(12, 12, 7)
    inputs["targets"] = torch.where(inputs["attention_mask"] > 0, inputs["input_ids"].roll(-1, 1), -100)
    if causal:
        inputs["segments"] = torch.where(inputs["attention_mask"] > 0, (torch.arange(12) > 4).long(), -1)
    part = frozen_part(built, {name: tensor[1:] for name, tensor in inputs.items()})
    assert isinstance(part, LowerLayers) and part.layers == 2
    built.module.eval()
    with torch.no_grad():
        states = part.states(inputs) * inputs["attention_mask"][..., None]
        plain = answers_of(built.module, inputs, built.outputs)["token_loss"]
        with not_run(lower(built, 2)):
            above = part.answers(states, inputs)["token_loss"]
    assert plain.abs().sum() > 0 and torch.equal(plain, above)


def test_modes_and_random_state_are_left(tiny_bert: Path) -> None:
    built = make(tiny_bert, freeze=FreezeLayers(n=1))
    built.train()
    modes, state = [module.training for module in built.module.modules()], torch.get_rng_state()
    assert isinstance(frozen_part(built, batch(9, 4)), LowerLayers)
    assert [module.training for module in built.module.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)


def test_activations_that_are_computed_twice_are_those_of_the_handed_states(tiny_bert: Path) -> None:
    built = make(tiny_bert, freeze=FreezeLayers(n=1), gradient_checkpointing=True)
    part = frozen_part(built, batch(9, 4))
    assert isinstance(part, LowerLayers)
    plain, above = stepped(built, None, batch(7, 12, 3)), stepped(built, part, batch(7, 12, 3))
    assert [name for name in plain if not torch.equal(plain[name], above[name])] == []
