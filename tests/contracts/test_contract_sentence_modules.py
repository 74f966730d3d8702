"""What sentence-transformers answers without tunery: the logits, for every folder that claims to be a model of it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors.torch import load_file, save_file
from test_contract_peft import LABELS, SPECS, make, train

from model_answers import labels_of
from tunery.model.backbones.backbone import load_tokenizer
from tunery.model.build import Built, build
from tunery.model.export import export, export_merged
from tunery.model.heads.layers import ACTIVATIONS
from tunery.schema.config.freeze import FreezeToAdapter, NoFreeze
from tunery.schema.config.model import (
    LEARNED_POOLINGS,
    GatedHead,
    Head,
    LinearHead,
    MlpHead,
    Model,
    NativeHead,
    Pooling,
)
from tunery.schema.config.peft import (
    AdaLora,
    BitFit,
    Bottleneck,
    Compacter,
    Dora,
    Houlsby,
    Library,
    Lora,
    NoPeft,
    Pfeiffer,
    Prefix,
    Prompt,
)
from tunery.schema.config.task import TokenOutput

HEADS: dict[str, Head] = {
    **{
        f"linear-{pooling}": LinearHead(pooling=pooling)
        for pooling in get_args(Pooling)
        if pooling not in LEARNED_POOLINGS
    },
    **{f"mlp-{name}": MlpHead(hidden=8, activation=name, pooling="last") for name in ACTIVATIONS},  # type: ignore[arg-type]
}
TEXTS = [
    "a good film",
    "The worst book in the world, that we have never read to its end and would not read again in all our days.",
    "not bad",
]
MAX_LENGTH = 12
"""Tokens: the second text is cut."""

READER = """
import json, sys
from pathlib import Path
sys.modules["tunery"] = None  # who imports it fails
from sentence_transformers import SentenceTransformer
texts = json.loads(sys.argv[1])
for folder in map(Path, sys.argv[2:]):
    answer = SentenceTransformer(str(folder), device="cpu").encode(texts)
    (folder / "logits.json").write_text(json.dumps(answer.tolist()))
"""


def exported(base: Path, folder: Path, peft: Any, *, head: Head) -> tuple[Built, Model]:
    """A model that was trained for two steps, and its exported folder."""
    spec = Model(name=str(base), head=head, max_length=MAX_LENGTH)
    built = make(spec, peft)
    train(built, steps=2)
    export(built, load_tokenizer(built.base), folder, outputs=LABELS, spec=spec, peft=peft)
    return built, spec


def merged(built: Built, source: Path, *, spec: Model, peft: Any) -> Path:
    folder = source.with_name(f"{source.name}-merged")
    export_merged(source, load_tokenizer(built.base), folder, outputs=LABELS, spec=spec, peft=peft)
    return folder


def logits(built: Built) -> torch.Tensor:
    tokenizer = load_tokenizer(built.base)
    cut = {"truncation": True, "max_length": MAX_LENGTH, "padding": True, "padding_side": "right"}
    inputs = tokenizer(TEXTS, return_tensors="pt", **cut)
    assert inputs["attention_mask"].sum(1).tolist()[1] == MAX_LENGTH
    answer: torch.Tensor = labels_of(built.module.eval(), **inputs).detach()
    return answer


def require_answers(expected: Mapping[Path, torch.Tensor]) -> None:
    command = [sys.executable, "-c", READER, json.dumps(TEXTS), *map(str, expected)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for folder, answer in expected.items():
        read = torch.tensor(json.loads((folder / "logits.json").read_text()))
        assert torch.allclose(read, answer, atol=1e-5), folder.name


def claims(folder: Path) -> bool:
    return (folder / "modules.json").is_file()


def test_every_head_full_as_an_adapter_and_merged(tiny_bert: Path, tmp_path: Path) -> None:
    expected = {}
    for name, head in HEADS.items():
        for peft in (NoPeft(), Lora()):
            folder = tmp_path / f"{name}-{peft.method}"
            built, spec = exported(tiny_bert, folder, peft, head=head)
            expected[folder] = logits(built)
            if isinstance(peft, Lora):
                expected[merged(built, folder, spec=spec, peft=peft)] = logits(built)
    require_answers(expected)


def test_every_method_answers_or_does_not_claim_to(tiny_bert: Path, tmp_path: Path) -> None:
    """Of adapters, transformers reads no virtual tokens, no magnitudes of DoRA, no ranks that AdaLoRA took."""
    expected, apart = {}, set()
    for method, peft in SPECS.items():
        folder = tmp_path / method
        built, spec = exported(tiny_bert, folder, peft, head=LinearHead())
        if not claims(folder):
            apart.add(type(peft))
            if isinstance(peft, Bottleneck | Prefix | Prompt):
                continue
            folder = merged(built, folder, spec=spec, peft=peft)
        expected[folder] = logits(built)
    assert apart == {AdaLora, BitFit, Compacter, Dora, Houlsby, Library, Pfeiffer, Prefix, Prompt}
    with_norms = build(spec, outputs=LABELS, peft=Lora(), freeze=FreezeToAdapter(unfreeze_layernorm=True))
    train(with_norms, steps=2)
    folder, tokenizer = tmp_path / "norms", load_tokenizer(with_norms.base)
    export(with_norms, tokenizer, folder, outputs=LABELS, spec=spec, peft=Lora())
    expected[folder] = logits(with_norms)
    require_answers(expected)


def test_nothing_of_the_base_changes_the_answers(
    tiny_bert: Path, tiny_roberta: Path, tiny_distilbert: Path, tiny_gpt2: Path, tmp_path: Path
) -> None:
    """Its own modules, its precision, the side on which its tokenizer pads."""
    bases = {
        "modules": with_modules(tiny_bert, tmp_path / "modules"),
        "half": in_half(tiny_bert, tmp_path / "half"),
        "left": padded_left(tiny_gpt2, tmp_path / "left"),
        "roberta": tiny_roberta,
        "distilbert": tiny_distilbert,
    }
    expected = {}
    for name, base in bases.items():
        for peft in (NoPeft(), Lora()):
            folder = tmp_path / f"{name}-{peft.method}"
            built, _ = exported(base, folder, peft, head=LinearHead(pooling="last" if name == "left" else "mean"))
            expected[folder] = logits(built)
    require_answers(expected)


def with_modules(base: Path, folder: Path) -> Path:
    """A base that sentence-transformers reads too, with a longer text and vectors of length one."""
    shutil.copytree(base, folder)
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64, "do_lower_case": False}))
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "say: "}, "default_prompt_name": "query"})
    )
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 32, "pooling_mode_cls_token": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def in_half(base: Path, folder: Path) -> Path:
    shutil.copytree(base, folder)
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor.bfloat16() for name, tensor in weights.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    edit(folder / "config.json", dtype="bfloat16")
    return folder


def padded_left(base: Path, folder: Path) -> Path:
    shutil.copytree(base, folder)
    edit(folder / "tokenizer_config.json", padding_side="left")
    return folder


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def built_with(base: Path, head: Head) -> tuple[Built, Model]:
    spec = Model(name=str(base), head=head)
    return make(spec, NoPeft()), spec


def test_a_folder_that_would_answer_something_else_claims_nothing(tiny_bert: Path, tmp_path: Path) -> None:
    """transformers puts an adapter on the newest revision of its base, in full precision."""
    linear = Model(name=str(tiny_bert), head=LinearHead())
    native, quantised = (linear.model_copy(update=other) for other in ({"head": NativeHead()}, {"quantization": "nf4"}))
    two_outputs = {**LABELS, "tokens": TokenOutput(labels=("a", "b"))}
    full, lora = NoPeft(), Lora()
    built = make(linear, lora)
    cases: dict[str, tuple[Built, Model, Any]] = {
        "native": (make(native, full), native, full),
        "pooling": (*built_with(tiny_bert, LinearHead(pooling="attention")), full),
        "layers": (*built_with(tiny_bert, GatedHead(hidden=8)), full),
        "two outputs": (build(linear, outputs=two_outputs, peft=full, freeze=NoFreeze()), linear, full),
        "quantised": (built, quantised, lora),
        "revision": (replace(built, base=replace(built.base, revision="v1")), linear, lora),
    }
    for name, (built, spec, peft) in cases.items():
        export(built, load_tokenizer(built.base), tmp_path / name, outputs=built.outputs, spec=spec, peft=peft)
        assert not claims(tmp_path / name), name
