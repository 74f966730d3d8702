"""What every PEFT method must do. A new method is tested by being in the table."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tunery.model.backbone import load_tokenizer
from tunery.model.build import Built, build
from tunery.model.export import export
from tunery.model.owned import count_parameters, load_owned, owned_state
from tunery.model.peft import METHODS
from tunery.schema.fields import alternatives
from tunery.schema.freeze import NoFreeze
from tunery.schema.model import LinearHead, Model, NativeHead
from tunery.schema.peft import Lora, NoPeft, Peft
from tunery.schema.spec import Spec
from tunery.schema.task import HeadSpec

LABELS = HeadSpec(labels=("no", "maybe", "yes"), problem="single_label")
ALL_SIX = ("query", "key", "value", "output", "ffn.up", "ffn.down")
SPECS: dict[str, Spec] = {
    "none": NoPeft(),
    "lora": Lora(),
    "lora-one-rank": Lora(r=1, alpha=0.5, dropout=0.0, target=("output",)),
    "lora-its-bias": Lora(bias="lora_only"),
    "lora-all": Lora(r=4, bias="all", target=ALL_SIX),
}
HEADS = {"native": NativeHead(), "linear": LinearHead()}

HIDDEN, WIDE, LAYERS = 32, 64, 2
SHAPES = {
    "query": (HIDDEN, HIDDEN),
    "key": (HIDDEN, HIDDEN),
    "value": (HIDDEN, HIDDEN),
    "output": (HIDDEN, HIDDEN),
    "ffn.up": (HIDDEN, WIDE),
    "ffn.down": (WIDE, HIDDEN),
}
"""(in, out) of each target in `tiny_bert`."""
HEAD_SIZE = HIDDEN * 3 + 3


def lora_size(spec: Lora, base: dict[str, torch.Tensor]) -> int:
    """A (r, in) and B (out, r) per target and layer (Hu et al. 2021, section 4.1), and the biases asked for."""
    matrices = LAYERS * sum(spec.r * sum(SHAPES[target]) for target in spec.target)
    biases = {
        "none": 0,
        "lora_only": LAYERS * sum(SHAPES[target][1] for target in spec.target),
        "all": sum(part.numel() for name, part in base.items() if name.endswith("bias")),
    }
    return matrices + biases[spec.bias]


def full_size(spec: NoPeft, base: dict[str, torch.Tensor]) -> int:
    return sum(part.numel() for part in base.values())


SIZES: dict[type[Spec], Callable[[Any, dict[str, torch.Tensor]], int]] = {NoPeft: full_size, Lora: lora_size}


@pytest.fixture(params=SPECS)
def peft(request: pytest.FixtureRequest) -> Any:
    return SPECS[request.param]


@pytest.fixture(params=HEADS)
def spec(request: pytest.FixtureRequest, tiny_bert: Path) -> Model:
    return Model(name=str(tiny_bert), head=HEADS[request.param])


def make(spec: Model, peft: Any) -> Built:
    torch.manual_seed(7)
    return build(spec, head=LABELS, peft=peft, freeze=NoFreeze())


def batch(built: Built) -> dict[str, torch.Tensor]:
    texts = ["a good film", "the worst book in the world", "not bad", "we want to see it again"]
    return dict(load_tokenizer(built.base)(texts, padding=True, return_tensors="pt"))


def train(built: Built, *, steps: int) -> None:
    torch.manual_seed(8)
    built.module.train()
    optimizer = torch.optim.AdamW([p for p in built.module.parameters() if p.requires_grad], lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        logits = built.module(**batch(built)).logits
        torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()


def test_table_union_and_suite_list_the_same_members() -> None:
    assert set(METHODS) == set(alternatives(Peft)) == {type(spec) for spec in SPECS.values()} == set(SIZES)


def test_only_owned_parameters_get_gradients_and_all_of_them_do(spec: Model, peft: Any) -> None:
    built = make(spec, peft)
    train(built, steps=2)
    received = {name for name, part in built.module.named_parameters() if part.grad is not None}
    assert received == built.owned
    silent = {name for name in received if not gradient(built, name).any()}
    # softmax does not see what is added to all keys alike, so only the bias of the keys may get a zero
    assert all(name.endswith(("key.bias", "key.base_layer.bias")) for name in silent)


def test_the_base_does_not_move_and_all_that_is_owned_does(spec: Model, peft: Any) -> None:
    built = make(spec, peft)
    before = {name: part.detach().clone() for name, part in built.module.named_parameters()}
    train(built, steps=2)
    moved = {name for name, part in built.module.named_parameters() if not torch.equal(part, before[name])}
    assert moved == built.owned


def test_training_starts_from_the_base(spec: Model, peft: Any) -> None:
    plain, built = make(spec, NoPeft()), make(spec, peft)
    inputs = batch(plain)
    assert torch.equal(plain.module.eval()(**inputs).logits, built.module.eval()(**inputs).logits)


def test_the_count_is_the_closed_formula(spec: Model, peft: Any) -> None:
    base = {name: part for name, part in make(spec, NoPeft()).module.named_parameters() if not is_head(name)}
    built = make(spec, peft)
    counted = count_parameters(built)
    assert counted.trainable == SIZES[type(peft)](peft, base) + HEAD_SIZE
    added = sum(part.numel() for name, part in built.module.named_parameters() if "lora_" in name)
    assert counted.total == sum(part.numel() for part in base.values()) + added + HEAD_SIZE


def test_owned_state_carries_the_training_into_a_new_model(spec: Model, peft: Any, tmp_path: Path) -> None:
    built = make(spec, peft)
    train(built, steps=2)
    save_file(owned_state(built), tmp_path / "owned.safetensors")
    torch.manual_seed(99)
    other = build(spec, head=LABELS, peft=peft, freeze=NoFreeze())
    load_owned(other, load_file(tmp_path / "owned.safetensors"))
    inputs = batch(built)
    assert torch.equal(built.module.eval()(**inputs).logits, other.module.eval()(**inputs).logits)


FRESH_PROCESS = """
import json, sys, torch
from pathlib import Path
from tunery.model.export import load_exported
from tunery.schema.model import Model
from tunery.schema.task import HeadSpec
inputs = torch.load(sys.argv[1])
for folder in map(Path, sys.argv[2:]):
    told = json.loads((folder / "told.json").read_text())
    head = HeadSpec(**told["head"])
    module = load_exported(folder, model_spec=Model(**told["spec"]), head=head)
    (folder / "logits.json").write_text(json.dumps(module(**inputs).logits.tolist()))
"""


def test_an_export_answers_the_same_in_a_fresh_process(tiny_bert: Path, tmp_path: Path) -> None:
    expected: dict[Path, Any] = {}
    for method, peft in SPECS.items():
        for kind, head in HEADS.items():
            spec = Model(name=str(tiny_bert), head=head)
            built, folder = make(spec, peft), tmp_path / f"{method}-{kind}"
            train(built, steps=2)
            export(built, load_tokenizer(built.base), folder, head=LABELS, spec=spec, peft=peft)  # type: ignore[arg-type]
            (folder / "told.json").write_text(json.dumps({"spec": spec.model_dump(), "head": LABELS.model_dump()}))
            expected[folder] = built.module.eval()(**batch(built)).logits.tolist()
            torch.save(batch(built), tmp_path / "inputs.pt")
    command = [sys.executable, "-c", FRESH_PROCESS, str(tmp_path / "inputs.pt"), *map(str, expected)]
    subprocess.run(command, check=True, capture_output=True)
    assert {folder: json.loads((folder / "logits.json").read_text()) for folder in expected} == expected


def gradient(built: Built, name: str) -> torch.Tensor:
    found = built.module.get_parameter(name).grad
    assert found is not None
    return found


def is_head(name: str) -> bool:
    return name.startswith(("classifier.", "head."))
