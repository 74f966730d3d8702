"""Numbers and levels under every method: trained, exported, read back, and what others read of them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from test_contract_heads import BATCH
from test_contract_peft import SPECS

from tunery.errors import ModelError
from tunery.model.backbones.backbone import load_tokenizer
from tunery.model.build import Built, build
from tunery.model.export import export, load_exported
from tunery.model.heads.heads import answers_of
from tunery.model.heads.layers import LevelLinear
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import LinearHead, MlpHead, Model, NativeHead
from tunery.schema.config.peft import NoPeft
from tunery.schema.config.task import LevelOutput, NumberOutput, Outputs

NUMBER: Final[Outputs] = {"number": NumberOutput()}
LEVELS: Final[Outputs] = {"levels": LevelOutput(labels=("1", "2", "3", "4"))}
INPUTS: Final = {name: tensor for name, tensor in BATCH.items() if name != "unit_ids"}
CASES: Final = {"number": (NUMBER, NativeHead()), "levels": (LEVELS, LinearHead(pooling="mean"))}


def trained(base: Path, outputs: Outputs, head: Any, peft: Any) -> tuple[Built, Model]:
    torch.manual_seed(0)
    spec = Model(name=str(base), head=head)
    built = build(spec, outputs=outputs, peft=peft, freeze=NoFreeze())
    optimizer = torch.optim.SGD([p for p in built.module.parameters() if p.requires_grad], lr=0.01)
    (answer,) = answers_of(built.train(), INPUTS, outputs).values()
    (answer * torch.arange(1.0, 1 + answer.shape[1])).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return built, spec


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", [name for name in SPECS if "-" not in name])
def test_every_method_is_read_back_with_the_same_answers(
    method: str, case: str, tiny_bert: Path, tmp_path: Path
) -> None:
    (outputs, head), peft = CASES[case], SPECS[method]
    built, spec = trained(tiny_bert, outputs, head, peft)
    assert built.roles.head and all("classifier" in name or name.startswith("heads.") for name in built.roles.head)
    export(built, load_tokenizer(built.base), tmp_path, outputs=outputs, spec=spec, peft=peft)
    loaded = load_exported(tmp_path, model_spec=spec, peft=peft, outputs=outputs)
    with torch.no_grad():
        (now,), (read,) = (answers_of(m, INPUTS, outputs).values() for m in (built.module.eval(), loaded))
    assert tuple(now.shape) == (3, 1 if case == "number" else 3) and torch.equal(now, read)
    if case == "levels":
        assert (now.diff(dim=1) < 0).all(), "no level has a probability below 0"


def test_a_new_layer_of_levels_makes_all_equally_likely() -> None:
    layer = LevelLinear(8, levels=5)
    above = layer(torch.zeros(1, 8)).sigmoid()[0]
    assert above.tolist() == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert sum(parameter.numel() for parameter in layer.parameters()) == 8 + 4


def test_offsets_that_cross_are_taken_in_order_and_keep_their_gradients() -> None:
    layer = LevelLinear(3, levels=4)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([-1.0, 2.0, 0.5]))
    states = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    answers = layer(states)
    assert torch.allclose(answers, states @ layer.weight.T + torch.tensor([2.0, 0.5, -1.0]))
    (answers * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert layer.bias.grad is not None and layer.bias.grad.tolist() == [600.0, 6.0, 60.0]
    assert torch.equal(layer.as_linear()(states).detach().round(decimals=5), answers.detach().round(decimals=5))


def test_levels_need_a_head_of_tunerys(tiny_bert: Path) -> None:
    with pytest.raises(ModelError, match=r"this task asks the model for levels; take model\.head\.kind=linear"):
        build(Model(name=str(tiny_bert), head=NativeHead()), outputs=LEVELS, peft=NoPeft(), freeze=NoFreeze())


SENTENCE = """
import json, sys
from sentence_transformers import SentenceTransformer
print(json.dumps(SentenceTransformer(sys.argv[1], device="cpu").encode(json.loads(sys.argv[2])).tolist()))
"""


@pytest.mark.parametrize("head", [LinearHead(pooling="mean"), MlpHead(pooling="mean", hidden=8)], ids=["linear", "mlp"])
@pytest.mark.parametrize("case", CASES)
def test_sentence_transformers_gives_the_same(case: str, head: Any, tiny_bert: Path, tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    outputs = CASES[case][0]
    built, spec = trained(tiny_bert, outputs, head, NoPeft())
    tokenizer, texts = load_tokenizer(built.base), ["the film was good", "we hate this day very much"]
    export(built, tokenizer, tmp_path, outputs=outputs, spec=spec, peft=NoPeft())
    with torch.no_grad():
        batch = {name: torch.tensor(rows) for name, rows in tokenizer(texts, padding=True).items()}
        (ours,) = answers_of(built.module.eval(), batch, outputs).values()
    done = subprocess.run(
        [sys.executable, "-c", SENTENCE, str(tmp_path), json.dumps(texts)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert torch.allclose(torch.tensor(json.loads(done.stdout)), ours, atol=1e-5)
