"""What every PEFT method must do under a language model, whichever way it reads."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedModel

from language_models import batch_of, output_of, write_model
from peft_specs import SPECS
from tunery.errors import ModelError
from tunery.model.backbones.backbone import load_tokenizer
from tunery.model.build import Built, build
from tunery.model.export import export, export_merged, load_exported
from tunery.model.heads.vocabulary import LanguageModel
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import Model, NativeHead
from tunery.schema.config.peft import Ia3, LayerNormTuning, LowRank, NoPeft, Prefix, Prompt

FAMILIES = ("gpt2", "bert")
LOADERS: dict[str, Any] = {"gpt2": AutoModelForCausalLM, "bert": AutoModelForMaskedLM}
VIRTUAL = (Prefix, Prompt)
TEXTS = ("a good film", "the worst book in the world", "not bad", "we want to see it again")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(family, tmp_path_factory.mktemp(family))


@pytest.fixture(params=SPECS)
def peft(request: pytest.FixtureRequest, family: str) -> Any:
    if family == "gpt2" and request.param == "peft":
        return SPECS["lora"]  # the library has no LoHa for its transposed matrices
    return SPECS[request.param]


def spec_of(folder: Path) -> Model:
    return Model(name=str(folder), head=NativeHead(), max_length=64)


def make(folder: Path, family: str, peft: Any, *, seed: int = 7, gradient_checkpointing: bool = False) -> Built:
    torch.manual_seed(seed)
    outputs: Any = output_of(family, packed=not isinstance(peft, VIRTUAL))
    built = build(
        spec_of(folder), outputs=outputs, peft=peft, freeze=NoFreeze(), gradient_checkpointing=gradient_checkpointing
    )
    if built.rank_allocator is not None:
        built.rank_allocator.plan(100)
    return built


def loss_of(built: Built, family: str) -> torch.Tensor:
    batch = batch_of(load_tokenizer(built.base), family, *TEXTS)
    loss: torch.Tensor = built.module(**batch)["token_loss"].sum() / (batch["targets"] != -100).sum()
    return loss


def train(built: Built, family: str, *, steps: int) -> list[float]:
    torch.manual_seed(8)
    built.train()
    optimizer = torch.optim.AdamW([p for p in built.module.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(built, family)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def losses(module: Any, tokenizer: Any, family: str) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = module.eval()(**batch_of(tokenizer, family, *TEXTS))["token_loss"]
    return found


def test_what_is_owned_moves_and_nothing_else_does(folder: Path, family: str, peft: Any) -> None:
    built = make(folder, family, peft)
    before = {name: part.detach().clone() for name, part in built.module.named_parameters()}
    course = train(built, family, steps=4)
    assert course[-1] < course[0]
    moved = {name for name, part in built.module.named_parameters() if not torch.equal(part, before[name])}
    assert moved == built.trainable
    model = next(part for part in built.module.modules() if isinstance(part, PreTrainedModel))
    assert model.get_output_embeddings().weight is built.embeddings.weight  # type: ignore[no-untyped-call]
    assert cast(LanguageModel, built.module).in_chunks


def test_what_peft_cannot_put_on_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="peft.config=LoHaConfig does not work on GPT2LMHeadModel"):
        make(write_model("gpt2", tmp_path), "gpt2", SPECS["peft"])


def test_an_export_gives_the_same_answers(folder: Path, family: str, peft: Any, tmp_path: Path) -> None:
    built = make(folder, family, peft)
    train(built, family, steps=2)
    tokenizer, outputs, spec = load_tokenizer(built.base), built.outputs, spec_of(folder)
    expected = losses(built.module, tokenizer, family)
    export(built, tokenizer, tmp_path / "export", outputs=outputs, spec=spec, peft=peft)
    read: Any = load_exported(tmp_path / "export", model_spec=spec, peft=peft, outputs=outputs, base=built.base_digest)
    assert torch.allclose(losses(read, tokenizer, family), expected, atol=1e-5)
    if isinstance(peft, NoPeft | LowRank | Ia3 | LayerNormTuning):
        export_merged(tmp_path / "export", tokenizer, tmp_path / "merged", outputs=outputs, spec=spec, peft=peft)
        merged = LOADERS[family].from_pretrained(str(tmp_path / "merged")).eval()
        assert merged.get_output_embeddings().weight is merged.get_input_embeddings().weight
        batch = batch_of(tokenizer, family, *TEXTS)
        targets = batch.pop("targets")
        with torch.no_grad():
            logits = merged(**batch).logits
        plain = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        assert torch.allclose(plain, expected, atol=1e-5)


def test_gradient_checkpointing_changes_nothing_but_memory(folder: Path, family: str, peft: Any) -> None:
    if isinstance(peft, Prefix):
        return  # refused by the schema
    found = []
    for checkpointing in (False, True):
        built = make(folder, family, peft, gradient_checkpointing=checkpointing)
        built.module.eval()
        for part in built.module.modules():
            part.training = vars(part).get("gradient_checkpointing", False)
        loss = loss_of(built, family)
        loss.backward()  # type: ignore[no-untyped-call]
        named = built.module.named_parameters()
        found.append((loss.detach(), {name: part.grad for name, part in named if part.grad is not None}))
    (plain, here), (checkpointed, there) = found
    assert torch.allclose(plain, checkpointed, atol=1e-6) and here.keys() == there.keys()
    assert all(torch.allclose(here[name], there[name], atol=1e-6) for name in here)
