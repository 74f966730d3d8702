"""`tunery.pretrain`: the stages of a config alone, as plain transformers reads their model."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

import tunery
from tiny_runs import config, files_with, write_rows
from tunery.errors import ConfigError, DataError, FolderError, Interrupted
from tunery.schema import RunConfig
from tunery.store.folder import RunFolder
from tunery.train.predict.inference import evaluate
from tunery.train.pretrain_run import pretrain


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_rows(tmp_path_factory.mktemp("rows"))


def with_stages(model: Path, files: dict[str, str], **stages: Any) -> RunConfig:
    return config(str(model), files, pretrain={"lr": 1e-2, **stages})


def loss_of_a_text(model: Path) -> float:
    """Mean loss of its tokens, each masked in turn, by plain transformers."""
    tokenizer, network = AutoTokenizer.from_pretrained(model), AutoModelForMaskedLM.from_pretrained(model)
    ids = tokenizer("the film was very good and we love it", return_tensors="pt")["input_ids"]
    places = range(1, ids.shape[1] - 1)
    hidden = ids.repeat(len(places), 1)
    hidden[range(len(places)), places] = tokenizer.mask_token_id
    with torch.no_grad():
        logits = network(hidden).logits
    told = logits[range(len(places)), places].log_softmax(-1)
    return -float(told[range(len(places)), ids[0, 1:-1]].mean())


def test_the_stages_are_those_of_a_run_and_their_model_is_the_base_of_others(
    tmp_path: Path, tiny_masked_lm: Path, files: dict[str, str]
) -> None:
    both = with_stages(tiny_masked_lm, files, dapt={"corpus": files["train"], "steps": 60}, tapt={"epochs": 2})
    result = pretrain(both, out=tmp_path / "alone")
    assert [stage.name for stage in result.pretraining] == ["dapt", "tapt"]
    assert result.loss == result.pretraining[-1].loss and result.config["task"]["kind"] == "mlm"
    best = tmp_path / "alone" / "best"
    assert loss_of_a_text(best) < loss_of_a_text(tiny_masked_lm) - 0.5

    within = tunery.fit(both, out=tmp_path / "run")
    assert [stage.digest for stage in within.pretraining] == [stage.digest for stage in result.pretraining]
    after = tunery.fit(config(str(best), files), out=tmp_path / "after")
    assert after.metrics == within.metrics  # the same weights, from a folder in place of a difference
    assert tunery.load(best).predict(["the [MASK] was good"])[0].masks

    said: list[str] = []
    assert pretrain(both, out=tmp_path / "alone", say=said.append) == result
    assert "nothing was trained" in said[0]


def test_a_method_is_folded_into_the_model(tmp_path: Path, tiny_gpt2: Path, files: dict[str, str]) -> None:
    lora = with_stages(tiny_gpt2, files, tapt={"steps": 12}, peft={"method": "lora", "r": 2})
    result = pretrain(lora, out=tmp_path / "alone")
    assert result.config["peft"]["method"] == "lora" and result.objective.name == "perplexity"
    best = tmp_path / "alone" / "best"
    assert not files_with("lora_A", best) and not (best / "base").exists()
    network = AutoModelForCausalLM.from_pretrained(best)
    before = AutoModelForCausalLM.from_pretrained(tiny_gpt2)
    changed = {name for name, value in network.named_parameters() if not torch.equal(value, before.get_parameter(name))}
    assert changed and all("attn" in name for name in changed)
    with pytest.raises(DataError, match="comes from continued pretraining, which has no splits of its own"):
        evaluate(best)


def test_what_there_is_nothing_to_do_for_is_refused(tmp_path: Path, tiny_bert: Path, files: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"pretrain: `tunery pretrain` needs a stage"):
        pretrain(config(str(tiny_bert), files), out=tmp_path / "run")
    with pytest.raises(ConfigError, match=r"pretrain: `tunery pretrain` needs a stage"):
        pretrain(with_stages(tiny_bert, files, tapt={"epochs": 0}), out=tmp_path / "run")
    with pytest.raises(ConfigError, match=r"task\.kind: .* take `tunery train`"):
        pretrain(config(str(tiny_bert), files, kind="mlm"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("begin", [pretrain, tunery.fit])
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, "pretrain.dapt.corpus: .*there is no file"),
        ("", "pretrain.dapt.corpus: "),
        ("one\n", "pretrain.dapt.corpus: .*a twentieth can be held out"),
        ('{"words": "one two"}\n' * 30, r"pretrain.dapt.corpus: .*'text' \(pretrain\.dapt\.text\)"),
    ],
)
def test_a_corpus_that_nothing_can_be_learned_from_is_refused_before_anything_is_written(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str], begin: Any, rows: str | None, message: str
) -> None:
    corpus = tmp_path / ("corpus.jsonl" if rows and "{" in rows else "corpus.txt")
    if rows is not None:
        corpus.write_text(rows)
    with pytest.raises(DataError, match=message):
        begin(with_stages(tiny_bert, files, dapt={"corpus": str(corpus)}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_corpus_of_scored_texts_is_refused(tmp_path: Path, tiny_bert: Path, files: dict[str, str]) -> None:
    with pytest.raises(DataError, match=r"pretrain\.dapt\.corpus: all of 24 texts .* which nothing may learn from"):
        pretrain(with_stages(tiny_bert, files, dapt={"corpus": files["test"]}), out=tmp_path / "run")


def test_a_folder_is_for_one_of_the_two(tmp_path: Path, tiny_bert: Path, files: dict[str, str]) -> None:
    tapt = with_stages(tiny_bert, files, tapt={"steps": 3})
    pretrain(tapt, out=tmp_path / "alone")
    with pytest.raises(FolderError, match="holds the continued pretraining of this config"):
        tunery.fit(tapt, out=tmp_path / "alone")
    tunery.fit(tapt, out=tmp_path / "run")
    with pytest.raises(FolderError, match="holds a run of this config"):
        pretrain(tapt, out=tmp_path / "run")
    other = with_stages(tiny_bert, files, tapt={"steps": 4})
    with pytest.raises(FolderError, match=r"another config \(pretrain\.tapt\.steps: 3 there, 4 now\)"):
        pretrain(other, out=tmp_path / "alone")


def test_what_was_interrupted_goes_on_to_the_same_model(
    tmp_path: Path, tiny_masked_lm: Path, files: dict[str, str]
) -> None:
    tapt = with_stages(tiny_masked_lm, files, tapt={"steps": 16})
    whole = pretrain(tapt, out=tmp_path / "whole")

    def interrupt(text: str) -> None:
        if "step 8 of 16" in text:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="SIGINT came at step 9; the same command resumes it"):
        pretrain(tapt, out=tmp_path / "torn", say=interrupt)
    assert not (tmp_path / "torn" / "best").exists()
    pretrain(tapt, out=tmp_path / "torn")
    shutil.rmtree(tmp_path / "torn" / "best")  # as if the process had died before the model was written
    (tmp_path / "torn" / "result.json").unlink()
    torn = pretrain(tapt, out=tmp_path / "torn")
    here, there = (load_file(tmp_path / name / "best" / "model.safetensors") for name in ("torn", "whole"))
    assert here.keys() == there.keys() and all(torch.equal(here[name], there[name]) for name in there)
    assert torn.pretraining[0].losses == whole.pretraining[0].losses and torn.metrics == whole.metrics
    assert RunFolder(tmp_path / "torn").is_closed()
