"""Whatever a model's or an adapter's folder holds is loaded, or refused as a model: none of it is run."""

import json
import pickle
import shutil
import warnings
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from damage import damaged, odd, read_or_refused
from fast_and_slow import examples
from tunery.errors import ModelError
from tunery.model.backbones.backbone import load_tokenizer
from tunery.model.backbones.catalog import Base, resolve
from tunery.model.build import load_base
from tunery.model.export import load_exported
from tunery.model.peft.adapter_files import DESCRIPTION, WEIGHTS, read_trained, write_trained
from tunery.schema.config.model import LinearHead, Model
from tunery.schema.config.peft import Lora, NoPeft
from tunery.schema.config.task import LabelOutput

HEAD: Final = {"labels": LabelOutput(labels=("a", "b"), problem="single_label")}
PEFT: Final[dict[str, Any]] = {"method": "houlsby", "bottleneck": 4}


def load(folder: Path) -> None:
    spec = Model(name=str(folder))
    base = resolve(spec)
    load_tokenizer(base)
    load_base(spec, base=base, outputs=HEAD)


@pytest.fixture(scope="module")
def model(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(tiny_bert, tmp_path_factory.mktemp("damaged") / "model"))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_damaged_models(model: Path, name: str) -> None:
    whole = (model / name).read_bytes()
    documents = [odd(json.loads(whole))] if name.endswith("json") else []

    @examples(0.1)
    @given(st.one_of(damaged(whole), *documents))
    def look(content: bytes) -> None:
        (model / name).write_bytes(content)
        read_or_refused(lambda: load(model), str(model))

    try:
        look()
    finally:
        (model / name).write_bytes(whole)


class Runs:
    """What runs code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def test_a_pickle_is_not_run(tiny_bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    (folder / "model.safetensors").unlink()
    for content in (pickle.dumps(Runs(tmp_path / "ran")), b"", b"abc", b"PK\3\4abc"):
        (folder / "pytorch_model.bin").write_bytes(content)
        with pytest.raises(ModelError, match="cannot be loaded") as error:
            load(folder)
        assert "weights_only" not in str(error.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", [DESCRIPTION, WEIGHTS])
def test_damaged_adapters(tmp_path: Path, name: str) -> None:
    trained = {"a": torch.zeros(3)}
    write_trained(trained, tmp_path, peft=PEFT, base=Base("m", "m", None, local=True))
    whole = (tmp_path / name).read_bytes()
    documents = [odd(json.loads(whole))] if name == DESCRIPTION else []

    @examples(0.5)
    @given(st.one_of(damaged(whole), *documents))
    def look(content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        read_or_refused(lambda: read_trained(trained, tmp_path, needed={"a"}, peft=PEFT), str(tmp_path))

    look()


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_damaged_adapters_of_peft(tiny_bert: Path, tmp_path: Path, name: str) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library, about itself
        base = AutoModelForSequenceClassification.from_pretrained(tiny_bert)
        get_peft_model(base, LoraConfig(target_modules=["query"], task_type="SEQ_CLS")).save_pretrained(tmp_path)
    whole = (tmp_path / name).read_bytes()
    spec = Model(name=str(tiny_bert))

    @examples(0.1)
    @given(odd(json.loads(whole)) if name.endswith("json") else damaged(whole))
    def look(content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        read_or_refused(lambda: load_exported(tmp_path, model_spec=spec, peft=Lora(), outputs=HEAD), str(tmp_path))

    look()


@examples(0.1)
@given(st.binary(max_size=200))
def test_a_damaged_head(model: Path, content: bytes) -> None:
    (model / "head.safetensors").write_bytes(content)
    spec = Model(name=str(model), head=LinearHead())
    with pytest.raises(ModelError, match="the head in"):
        load_exported(model, model_spec=spec, peft=NoPeft(), outputs=HEAD)
