"""An exported folder is what plain transformers and peft read, without tunery."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from model_answers import labels_of
from tunery.errors import ModelError
from tunery.model.backbones.backbone import load_tokenizer
from tunery.model.build import Built, build
from tunery.model.export import export, load_exported
from tunery.schema.config.freeze import FreezeEncoder, NoFreeze
from tunery.schema.config.model import LinearHead, MlpHead, Model, NativeHead
from tunery.schema.config.peft import Lora, NoPeft
from tunery.schema.config.task import LabelOutput

HEAD = {"labels": LabelOutput(labels=("joy", "fear", "Ärger"), problem="multi_label")}
TEXTS = ["a good film", "the worst book in the world"]
WAYS: dict[str, tuple[Any, Any]] = {
    "none": (NoPeft(), NoFreeze()),
    "frozen": (NoPeft(), FreezeEncoder()),
    "lora": (Lora(), NoFreeze()),
}

PLAIN_READER = """
import json, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from peft import AutoPeftModelForSequenceClassification, PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer
assert not any(name.startswith("tunery") for name in sys.modules)
Auto = AutoModelForSequenceClassification
texts, labels = json.loads(sys.argv[1]), 3
for folder in map(Path, sys.argv[2:]):
    inputs = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    if (folder / "adapter_config.json").exists():
        base = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
        pad = {"pad_token_id": 0} if "gpt2" in folder.name else {}
        models = [
            PeftModel.from_pretrained(Auto.from_pretrained(base, num_labels=labels, **pad), folder),
            AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=labels, **pad),
        ]
    else:
        models = [Auto.from_pretrained(folder)]
    answers = [model.eval()(**inputs).logits.tolist() for model in models]
    (folder / "logits.json").write_text(json.dumps(answers))
"""


def trained(folder: Path, way: str, *, head: Any = NativeHead()) -> Built:  # noqa: B008
    """A built model whose owned parameters are no longer what they were loaded as."""
    peft, freeze = WAYS[way]
    torch.manual_seed(0)
    spec = Model(name=str(folder), head=head)
    built = build(spec, outputs=HEAD, peft=peft, freeze=freeze)
    with torch.no_grad():
        for name in sorted(built.trainable):
            built.module.get_parameter(name).add_(torch.randn(()) * 0.1)
    return built


def written(built: Built, folder: Path, way: str, *, spec: Model) -> Path:
    export(built, load_tokenizer(built.base), folder, outputs=HEAD, spec=spec, peft=WAYS[way][0])
    return folder


def logits(built: Built) -> list[list[float]]:
    inputs = load_tokenizer(built.base)(TEXTS, padding=True, return_tensors="pt")
    answer: list[list[float]] = labels_of(built.module.eval(), **inputs).tolist()
    return answer


@pytest.mark.smoke
def test_others_read_it_and_get_the_same_logits(
    tiny_bert: Path, tiny_roberta: Path, tiny_distilbert: Path, tiny_gpt2: Path, tmp_path: Path
) -> None:
    expected = {}
    for base in (tiny_bert, tiny_roberta, tiny_distilbert, tiny_gpt2):
        for way in WAYS:
            built = trained(base, way)
            folder = written(built, tmp_path / f"{base.name}-{way}", way, spec=Model(name=str(base), head=NativeHead()))
            expected[folder] = logits(built)
    command = [sys.executable, "-c", PLAIN_READER, json.dumps(TEXTS), *map(str, expected)]
    subprocess.run(command, check=True, capture_output=True)
    for folder, answer in expected.items():
        assert all(read == answer for read in json.loads((folder / "logits.json").read_text())), folder.name


@pytest.mark.parametrize("way", WAYS)
def test_a_head_of_ours_comes_back(way: str, tiny_bert: Path, tmp_path: Path) -> None:
    spec = Model(name=str(tiny_bert), head=MlpHead(hidden=8, pooling="cls"))
    built = trained(tiny_bert, way, head=spec.head)
    folder = written(built, tmp_path, way, spec=spec)
    module = load_exported(folder, model_spec=spec, peft=WAYS[way][0], outputs=HEAD)
    inputs = load_tokenizer(built.base)(TEXTS, padding=True, return_tensors="pt")
    assert labels_of(module, **inputs).tolist() == logits(built)
    assert not module.training


def test_the_folder_says_what_it_is(tiny_bert: Path, tmp_path: Path) -> None:
    spec = Model(name=str(tiny_bert), head=NativeHead())
    folder = written(trained(tiny_bert, "none"), tmp_path, "none", spec=spec)
    config = json.loads((folder / "config.json").read_text())
    assert config["id2label"] == {"0": "joy", "1": "fear", "2": "Ärger"}
    assert config["problem_type"] == "multi_label_classification"
    told = json.loads((folder / "head.json").read_text(encoding="utf-8"))
    assert told == {"head": spec.head.model_dump(), "outputs": {"labels": HEAD["labels"].model_dump(mode="json")}}
    original = AutoTokenizer.from_pretrained(tiny_bert)("good film").input_ids
    assert AutoTokenizer.from_pretrained(folder)("good film").input_ids == original
    assert not list(folder.glob("*.bin"))


def test_an_adapter_folder_holds_no_base_and_no_card(tiny_bert: Path, tmp_path: Path) -> None:
    folder = written(trained(tiny_bert, "lora"), tmp_path, "lora", spec=Model(name=str(tiny_bert), head=NativeHead()))
    names = {file.name for file in folder.iterdir()}
    assert "adapter_model.safetensors" in names
    assert not {"model.safetensors", "config.json", "README.md"} & names
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == str(tiny_bert)


def test_what_does_not_fit_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    spec = Model(name=str(tiny_bert), head=LinearHead())
    linear = written(trained(tiny_bert, "lora", head=spec.head), tmp_path / "linear", "lora", spec=spec)
    with pytest.raises(ModelError, match="the head in .* does not fit model.head"):
        load_exported(linear, model_spec=Model(name=str(tiny_bert), head=MlpHead()), peft=Lora(), outputs=HEAD)
    native = written(
        trained(tiny_bert, "lora"), tmp_path / "native", "lora", spec=Model(name=str(tiny_bert), head=NativeHead())
    )
    with pytest.raises(ModelError, match="the adapter in .* does not fit its base"):
        two = {"labels": LabelOutput(labels=("a", "b"), problem="single_label")}
        load_exported(native, model_spec=Model(name=str(tiny_bert), head=NativeHead()), peft=Lora(), outputs=two)


def test_writing_is_silent(tiny_bert: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    spec = Model(name=str(tiny_bert), head=NativeHead())
    for way in WAYS:
        folder = written(trained(tiny_bert, way), tmp_path / way, way, spec=spec)
        load_exported(folder, model_spec=spec, peft=WAYS[way][0], outputs=HEAD)
    assert capfd.readouterr() == ("", "")
