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

from adapter_sizes import bitfit_size, compacter_size, houlsby_size, pfeiffer_size
from model_answers import labels_of
from peft_specs import SPECS
from tunery.model.backbones.backbone import load_tokenizer
from tunery.model.build import Built, build
from tunery.model.export import export
from tunery.model.peft.method import plain_name
from tunery.model.peft.methods import METHODS
from tunery.model.trainable import count_parameters, load_trainable, trainable_state
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import LinearHead, Model, NativeHead
from tunery.schema.config.peft import (
    AdaLora,
    BitFit,
    Compacter,
    Dora,
    Houlsby,
    Ia3,
    LayerNormTuning,
    Library,
    Lora,
    LoraPlus,
    LowRank,
    NoPeft,
    Peft,
    Pfeiffer,
    Prefix,
    Probe,
    Prompt,
    RsLora,
)
from tunery.schema.config.task import LabelOutput
from tunery.schema.reading.fields import alternatives
from tunery.schema.spec import Spec
from tunery.train.text_runs import TEXT_MODELS

LABELS = {"labels": LabelOutput(labels=("no", "maybe", "yes"), problem="single_label")}
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

Base = dict[str, torch.Tensor]


def low_rank_size(spec: Any, base: Base, *, rank: int, extra: int = 0) -> int:
    """A (r, in) and B (out, r) per target and layer (Hu et al. 2021, section 4.1), and the biases asked for."""
    matrices = LAYERS * sum(rank * sum(SHAPES[target]) + extra * SHAPES[target][1] for target in spec.target)
    biases = {
        "none": 0,
        "lora_only": LAYERS * sum(SHAPES[target][1] for target in spec.target),
        "all": sum(part.numel() for name, part in base.items() if name.endswith("bias")),
    }
    return matrices + biases[spec.bias]


def lora_size(spec: Any, base: Base) -> int:
    return low_rank_size(spec, base, rank=spec.r)


def dora_size(spec: Dora, base: Base) -> int:
    """And one magnitude per output (Liu et al. 2024, equation 5)."""
    return low_rank_size(spec, base, rank=spec.r, extra=1)


def adalora_size(spec: AdaLora, base: Base) -> int:
    """P, Q and the diagonal of singular values between them (Zhang et al. 2023, equation 3)."""
    return low_rank_size(spec, base, rank=spec.init_r) + LAYERS * len(spec.target) * spec.init_r


def ia3_size(spec: Ia3, base: Base) -> int:
    """One scale per key, value, and inner activation (Liu et al. 2022, section 3.3)."""
    return LAYERS * (2 * HIDDEN + (WIDE if spec.ffn else 0))


def norm_size(spec: LayerNormTuning, base: Base) -> int:
    return sum(part.numel() for name, part in base.items() if "LayerNorm" in name)


def hadamard_size(spec: Library, base: Base) -> int:
    """Two pairs of low-rank factors per target (Hyeon-Woo et al. 2022, arXiv 2108.06098, section 2.2)."""
    return LAYERS * 2 * 2 * spec.arguments["r"] * 2 * HIDDEN


SIZES: dict[type[Spec], Callable[[Any, Base], int]] = {
    NoPeft: lambda spec, base: sum(part.numel() for part in base.values()),
    Lora: lora_size,
    LoraPlus: lora_size,
    RsLora: lora_size,
    Dora: dora_size,
    AdaLora: adalora_size,
    Ia3: ia3_size,
    LayerNormTuning: norm_size,
    BitFit: bitfit_size,
    Pfeiffer: pfeiffer_size,
    Houlsby: houlsby_size,
    Compacter: compacter_size,
    Prefix: lambda spec, base: spec.tokens * LAYERS * 2 * HIDDEN,
    Prompt: lambda spec, base: spec.tokens * HIDDEN,
    Library: hadamard_size,
}
STARTS_ELSEWHERE = (Prefix, Prompt)
"""Methods that change the output from the first moment."""
MERGES = (LowRank, Ia3, LayerNormTuning, Library)
"""Methods whose update can be folded into the base's own weights."""


@pytest.fixture(params=SPECS)
def peft(request: pytest.FixtureRequest) -> Any:
    return SPECS[request.param]


@pytest.fixture(params=HEADS)
def spec(request: pytest.FixtureRequest, tiny_bert: Path) -> Model:
    return Model(name=str(tiny_bert), head=HEADS[request.param])


def make(spec: Model, peft: Any, *, seed: int = 7, gradient_checkpointing: bool = False) -> Built:
    torch.manual_seed(seed)
    built = build(spec, outputs=LABELS, peft=peft, freeze=NoFreeze(), gradient_checkpointing=gradient_checkpointing)
    if built.rank_allocator is not None:
        built.rank_allocator.plan(100)
    return built


def batch(built: Built) -> dict[str, torch.Tensor]:
    texts = ["a good film", "the worst book in the world", "not bad", "we want to see it again"]
    return dict(load_tokenizer(built.base)(texts, padding=True, return_tensors="pt"))


def loss_of(built: Built) -> torch.Tensor:
    logits = labels_of(built.module, **batch(built))
    return torch.nn.functional.cross_entropy(logits.float(), torch.tensor([0, 1, 2, 0]))


def train(built: Built, *, steps: int) -> None:
    torch.manual_seed(8)
    built.train()
    optimizer = torch.optim.AdamW([p for p in built.module.parameters() if p.requires_grad], lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(built).backward()
        optimizer.step()


def gradients(built: Built) -> dict[str, torch.Tensor]:
    named = built.module.named_parameters()
    return {name: part.grad.clone() for name, part in named if part.grad is not None}


def logits(built: Built) -> torch.Tensor:
    found: torch.Tensor = labels_of(built.module.eval(), **batch(built)).detach()
    return found


def test_table_union_and_suite_list_the_same_members() -> None:
    assert set(METHODS) - {Probe} == {type(spec) for spec in SPECS.values()} == set(SIZES)
    assert METHODS.keys() | TEXT_MODELS.keys() == set(alternatives(Peft))


def test_only_owned_parameters_get_gradients_and_all_of_them_do(spec: Model, peft: Any) -> None:
    built = make(spec, peft)
    train(built, steps=3)
    received = gradients(built)
    assert received.keys() == built.trainable
    silent = {plain_name(name) for name, gradient in received.items() if not gradient.any()}
    # softmax does not see what is added to all keys alike, so only the bias of the keys may get a zero
    assert all(name.endswith("key.bias") for name in silent)


def test_the_base_does_not_move_and_all_that_is_owned_does(spec: Model, peft: Any) -> None:
    built = make(spec, peft)
    before = {name: part.detach().clone() for name, part in built.module.named_parameters()}
    train(built, steps=3)
    moved = {name for name, part in built.module.named_parameters() if not torch.equal(part, before[name])}
    assert moved == built.trainable


def test_training_starts_from_the_base(spec: Model, peft: Any) -> None:
    same = torch.allclose(logits(make(spec, NoPeft())), logits(make(spec, peft)), atol=1e-6)
    assert same != isinstance(peft, STARTS_ELSEWHERE)


def test_the_count_is_the_closed_formula(spec: Model, peft: Any) -> None:
    plain = make(spec, NoPeft())
    base = {name: part for name, part in plain.module.named_parameters() if not is_head(name)}
    built = make(spec, peft)
    counted = count_parameters(built)
    assert counted.trainable == SIZES[type(peft)](peft, base) + HEAD_SIZE
    known = {plain_name(name) for name, _ in plain.module.named_parameters()}
    kept = {name: part for name, part in built.module.named_parameters() if ".original_module." not in name}
    added = sum(part.numel() for name, part in kept.items() if plain_name(name) not in known)
    assert counted.total == sum(part.numel() for part in base.values()) + added + HEAD_SIZE


def test_frozen_layers_have_no_dropout(spec: Model, peft: Any) -> None:
    built = make(spec, without_dropout(peft))
    built.train()
    for name, part in built.module.named_modules():
        if isinstance(part, torch.nn.Dropout) and (name.startswith("heads.") or plain_name(name) == "dropout"):
            part.p = 0.0  # the heads' own
    first, second = labels_of(built.module, **batch(built)), labels_of(built.module, **batch(built))
    rests = not isinstance(peft, NoPeft | BitFit | LayerNormTuning) and getattr(peft, "bias", "none") == "none"
    if rests:
        assert torch.equal(first, second)
    assert count_parameters(built).frozen_in_eval is (None if isinstance(peft, NoPeft) else True)


def test_it_trains_in_bf16(spec: Model, peft: Any) -> None:
    built = make(spec, peft)
    built.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(built)
    loss.backward()
    assert gradients(built).keys() == built.trainable
    assert all(gradient.isfinite().all() for gradient in gradients(built).values())


def test_gradient_checkpointing_changes_nothing_but_memory(spec: Model, peft: Any) -> None:
    if isinstance(peft, Prefix):
        return  # refused by the schema
    found = []
    for checkpointing in (False, True):
        built = make(spec, without_dropout(peft), gradient_checkpointing=checkpointing)
        built.train()
        torch.manual_seed(9)
        loss = loss_of(built)
        loss.backward()
        found.append((loss.detach(), gradients(built)))
    (plain, here), (checkpointed, there) = found
    assert torch.allclose(plain, checkpointed, atol=1e-6)
    assert here.keys() == there.keys()
    assert all(torch.allclose(here[name], there[name], atol=1e-6) for name in here)


def test_merging_gives_the_same_answers(spec: Model, peft: Any) -> None:
    if not isinstance(peft, MERGES):
        return
    built = make(spec, peft)
    train(built, steps=3)
    before = logits(built)
    merged: Any = built.pretrained
    merged.merge_adapter()
    assert torch.allclose(logits(built), before, atol=1e-5)


def test_owned_state_carries_the_training_into_a_new_model(spec: Model, peft: Any, tmp_path: Path) -> None:
    built = make(spec, peft)
    train(built, steps=2)
    save_file(trainable_state(built), tmp_path / "owned.safetensors")
    other = make(spec, peft, seed=99)
    load_trainable(other, load_file(tmp_path / "owned.safetensors"))
    assert torch.equal(logits(built), logits(other))


FRESH_PROCESS = """
import json, sys, torch
from pathlib import Path
from pydantic import TypeAdapter
from tunery.model.export import load_exported
from tunery.model.heads.heads import answers_of
from tunery.schema.config.model import Model
from tunery.schema.config.peft import Peft
from tunery.schema.config.task import LabelOutput
inputs = torch.load(sys.argv[1])
for folder in map(Path, sys.argv[2:]):
    told = json.loads((folder / "told.json").read_text())
    outputs, peft = {"labels": LabelOutput(**told["labels"])}, TypeAdapter(Peft).validate_python(told["peft"])
    module = load_exported(folder, model_spec=Model(**told["spec"]), peft=peft, outputs=outputs)
    answers = answers_of(module, inputs, outputs)["labels"]
    (folder / "logits.json").write_text(json.dumps(answers.tolist()))
"""


@pytest.mark.slow
def test_an_export_answers_the_same_in_a_fresh_process(tiny_bert: Path, tmp_path: Path) -> None:
    expected: dict[Path, torch.Tensor] = {}
    for method, peft in SPECS.items():
        for kind, head in HEADS.items():
            spec = Model(name=str(tiny_bert), head=head)
            built, folder = make(spec, peft), tmp_path / f"{method}-{kind}"
            train(built, steps=2)
            export(built, load_tokenizer(built.base), folder, outputs=LABELS, spec=spec, peft=peft)  # type: ignore[arg-type]
            told = {"spec": spec.model_dump(), "labels": LABELS["labels"].model_dump(), "peft": peft.model_dump()}
            (folder / "told.json").write_text(json.dumps(told))
            expected[folder] = logits(built)
            torch.save(batch(built), tmp_path / "inputs.pt")
    command = [sys.executable, "-c", FRESH_PROCESS, str(tmp_path / "inputs.pt"), *map(str, expected)]
    subprocess.run(command, check=True, capture_output=True)
    for folder, answer in expected.items():
        read = torch.tensor(json.loads((folder / "logits.json").read_text()))
        assert torch.allclose(read, answer, atol=1e-6), folder.name


def without_dropout(peft: Any) -> Any:
    return peft.model_copy(update={"dropout": 0.0}) if "dropout" in type(peft).model_fields else peft


def is_head(name: str) -> bool:
    return name.startswith(("classifier.", "heads."))
