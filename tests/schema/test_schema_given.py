"""Whatever says what is to be done: a file, a mapping, a config."""

from pathlib import Path
from typing import Any

import pytest

from tunery.errors import ConfigError, RequestError
from tunery.schema import ConfigLike, RunConfig, config_from, document_from, load_config, load_document
from tunery.schema.config.optim import AdamW
from tunery.schema.config.peft import Lora
from tunery.schema.spec import Choices

WRITTEN: dict[str, Any] = {"task": "classification", "data": {"train": "a.csv"}, "peft": "lora", "optim": {"lr": 1e-3}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "run.yaml"
    file.write_text("task: classification\ndata: {train: a.csv}\npeft: lora\noptim: {lr: 1e-3}\n")
    return file


def test_every_way_says_the_same(path: Path) -> None:
    config = load_config(path)
    ways: list[ConfigLike] = [path, str(path), load_document(path), {**WRITTEN, "name": "run"}, config]
    assert all(config_from(way) == config for way in ways)
    assert config == RunConfig(**WRITTEN) == RunConfig.model_validate(WRITTEN)


def test_a_config_leaves_open_to_a_search_what_was_not_set_on_it(path: Path) -> None:
    file = {key: value for key, value in document_from(path).items() if key != "name"}
    for config in (load_config(path), RunConfig(**WRITTEN), RunConfig.model_validate(WRITTEN)):
        assert {key: value for key, value in document_from(config).items() if key != "name"} == file
    by_hand = RunConfig(task="classification", data={"train": "a.csv"}, peft=Lora(r=4), tracking=["tensorboard"])
    assert document_from(by_hand)["peft"] == {"method": "lora", "r": 4}
    assert config_from(document_from(by_hand)) == by_hand


def test_lists_of_a_mapping_are_choices_as_in_a_file() -> None:
    document = document_from({**WRITTEN, "seed": [0, 1]})
    assert document["seed"] == Choices((0, 1)) and document_from(document) == document
    with pytest.raises(ConfigError, match="seed: a range or a list of choices is for a study"):
        config_from({**WRITTEN, "seed": [0, 1]})


@pytest.mark.parametrize("wrong", [None, 5, ["a.yaml"]])
def test_what_says_nothing_is_refused(wrong: Any) -> None:
    with pytest.raises(RequestError, match="the path of a file, a mapping, or a RunConfig, but got"):
        config_from(wrong)


def test_keywords_are_refused_in_the_words_of_a_file_and_all_at_once() -> None:
    with pytest.raises(ConfigError) as told:
        RunConfig(task="clasification", data={"train": "a.csv", "lable": "x"}, peft="loar", optim={"lr": -1}, train=5)
    found = {problem.path: problem.message for problem in told.value.problems}
    assert set(found) == {"task.kind", "data.lable", "peft.method", "optim.lr", "train"}
    assert "did you mean 'lora'?" in found["peft.method"]
    with pytest.raises(ConfigError, match="peft: must be a mapping"):
        RunConfig(task="classification", data={"train": "a.csv"}, peft=AdamW())


def test_what_is_printed_is_what_differs_from_the_defaults() -> None:
    assert repr(RunConfig(**WRITTEN)) == (
        "RunConfig(task=ClassificationTask(), data=Data(train='a.csv'), peft=Lora(), "
        "optim=AdamW(lr=0.001, head_lr=0.01))"
    )
