"""What others read without tunery, method by method. A new method is tested by being in the suite's table."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from test_contract_peft import HEADS, LABELS, SPECS, batch, logits, make, train

from model_answers import labels_of
from tunery.errors import ModelError
from tunery.model.backbones.backbone import load_tokenizer
from tunery.model.build import Built
from tunery.model.export import export, export_merged, load_exported
from tunery.schema.config.model import Model
from tunery.schema.config.peft import BitFit, Bottleneck, NoPeft, Prefix, Prompt

NOBODYS_STANDARD = (Bottleneck, BitFit)
UNMERGEABLE = (Bottleneck, Prefix, Prompt)

PLAIN_READER = """
import json, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
import torch
from transformers import AutoModelForSequenceClassification as Auto
inputs, base, (whole, adapters) = torch.load(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
def answer(folder, model):
    Path(folder, "logits.json").write_text(json.dumps(model.eval()(**inputs).logits.tolist()))
for folder in whole:
    answer(folder, Auto.from_pretrained(folder))
assert not {"peft", "tunery"} & {name.partition(".")[0] for name in sys.modules}
from peft import PeftModel
for folder in adapters:
    answer(folder, PeftModel.from_pretrained(Auto.from_pretrained(base, num_labels=3), folder))
assert not any(name.startswith("tunery") for name in sys.modules)
"""


def exported(base: Path, folder: Path, peft: Any, *, head: str = "native") -> tuple[Built, Model]:
    """A model that was trained for two steps, and its exported folder."""
    spec = Model(name=str(base), head=HEADS[head])
    built = make(spec, peft)
    train(built, steps=2)
    export(built, load_tokenizer(built.base), folder, outputs=LABELS, spec=spec, peft=peft)
    return built, spec


def test_plain_transformers_and_peft_give_the_same_logits(tiny_bert: Path, tmp_path: Path) -> None:
    expected: dict[Path, torch.Tensor] = {}
    whole: list[str] = []
    adapters: list[str] = []
    for method, peft in SPECS.items():
        folder, merged = tmp_path / method, tmp_path / f"{method}-merged"
        built, spec = exported(tiny_bert, folder, peft)
        if not isinstance(peft, NOBODYS_STANDARD):
            (whole if isinstance(peft, NoPeft) else adapters).append(str(folder))
            expected[folder] = logits(built)
        if not isinstance(peft, UNMERGEABLE):
            export_merged(folder, load_tokenizer(built.base), merged, outputs=LABELS, spec=spec, peft=peft)
            whole.append(str(merged))
            expected[merged] = logits(built)
    torch.save(batch(built), tmp_path / "inputs.pt")
    command = [sys.executable, "-c", PLAIN_READER, tmp_path / "inputs.pt", tiny_bert, json.dumps([whole, adapters])]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    for folder, answer in expected.items():
        read = torch.tensor(json.loads((folder / "logits.json").read_text()))
        assert torch.allclose(read, answer, atol=1e-6), folder.name


@pytest.mark.parametrize("method", SPECS)
def test_what_is_merged_is_whole_with_a_head_of_ours_or_refused(tiny_bert: Path, tmp_path: Path, method: str) -> None:
    peft: Any = SPECS[method]
    built, spec = exported(tiny_bert, tmp_path / "apart", peft, head="linear")
    told: Any = {"outputs": LABELS, "spec": spec, "peft": peft}
    tokenizer = load_tokenizer(built.base)
    if isinstance(peft, UNMERGEABLE):
        with pytest.raises(ModelError, match=f"only what changes weights can be merged, but peft.method={peft.method}"):
            export_merged(tmp_path / "apart", tokenizer, tmp_path / "merged", **told)
        assert not (tmp_path / "merged").exists()
        return
    export_merged(tmp_path / "apart", tokenizer, tmp_path / "merged", **told)
    assert {path.name for path in (tmp_path / "merged").iterdir()} >= {"model.safetensors", "head.safetensors"}
    module = load_exported(tmp_path / "merged", model_spec=spec, peft=peft, outputs=LABELS)
    assert torch.allclose(labels_of(module, **batch(built)), logits(built), atol=1e-6)
