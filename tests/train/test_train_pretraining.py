"""Continued pretraining: what is learned from texts before a run, kept and shared as weights on top of the base."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel

from tiny_runs import after_steps, config, write_rows
from tunery.errors import DataError, FolderError, Interrupted, ModelError
from tunery.schema import RunConfig
from tunery.store.folder import RunFolder
from tunery.train.artifacts.export import export_run
from tunery.train.fit import fit
from tunery.train.predict.inference import load


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_rows(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    rows = [
        {"text": f"the day was very {word} and it was {number}"} for number in range(40) for word in ("sad", "good")
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def with_stages(model: Path, files: dict[str, str], **pretrain: Any) -> RunConfig:
    return config(str(model), files, pretrain={"lr": 1e-2, **pretrain})


def weights(run: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(run / "best" / "model.safetensors")


def stages(run: Path) -> list[Path]:
    return sorted(path for path in (run / "pretrain").iterdir() if path.is_dir())


def test_a_run_begins_from_what_was_learned_from_its_training_texts(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str]
) -> None:
    plain = fit(config(str(tiny_bert), files), out=tmp_path / "plain")
    adapted = fit(with_stages(tiny_bert, files, tapt={"steps": 12}), out=tmp_path / "tapt")
    (stage,) = stages(tmp_path / "tapt")
    assert adapted.base == f"{plain.base}+{stage.name}"
    record = RunFolder(stage).result()
    assert record is not None and record.data is not None
    assert sum(split.rows for split in record.data.splits.values()) == 60  # of the training rows, and no others
    assert adapted.objective.value != plain.objective.value or adapted.loss != plain.loss
    assert not (stage / "best").exists()


def test_a_stage_that_was_stopped_ends_as_one_that_was_not(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str]
) -> None:
    both = with_stages(tiny_bert, files, tapt={"steps": 12}, dapt={"corpus": files["train"], "steps": 9})
    whole = fit(both, out=tmp_path / "whole")
    left = 2
    with pytest.raises(Interrupted):
        fit(both, out=tmp_path / "stopped", stop=after_steps(left))
    for steps in range(4, 40, 6):
        try:
            resumed = fit(both, out=tmp_path / "stopped", stop=after_steps(steps))
            break
        except Interrupted:
            assert not (tmp_path / "stopped" / "result.json").exists()
    assert resumed.base == whole.base
    assert resumed.metrics.validation == whole.metrics.validation
    here, there = weights(tmp_path / "stopped"), weights(tmp_path / "whole")
    assert all(torch.equal(here[name], there[name]) for name in there)
    assert [RunFolder(path).kept() for path in stages(tmp_path / "stopped")] == [
        RunFolder(path).kept() for path in stages(tmp_path / "whole")
    ]


def test_simple_models_are_scored_before_the_stages_whose_seconds_are_counted_apart(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str]
) -> None:
    document = with_stages(tiny_bert, files, tapt={"steps": 12}).model_dump(mode="json")
    run, said = (
        RunConfig.model_validate({**document, "train": {**document["train"], "baselines": ["tfidf"]}}),
        list[str](),
    )
    with pytest.raises(Interrupted):
        fit(run, out=tmp_path / "run", stop=after_steps(1), say=said.append, baselines=True)
    assert said[0].startswith("tfidf: validation f1_macro ") and said[1].startswith("tapt: ")

    began = time.perf_counter()
    result = fit(run, out=tmp_path / "whole", baselines=True)
    took = time.perf_counter() - began
    (stage,) = result.pretraining
    assert 0 < result.seconds.total + stage.seconds <= took
    spent = result.seconds.load + result.seconds.train + result.seconds.evaluate
    assert result.seconds_to_fit_and_score == spent + stage.seconds
    assert [baseline.method for baseline in result.baselines] == ["tfidf"]


def test_trials_share_a_stage_and_its_rungs(tmp_path: Path, tiny_bert: Path, files: dict[str, str]) -> None:
    study, results = tmp_path / "study", {}
    for number, epochs in enumerate((1, 3, 0)):
        tapt = {"epochs": epochs, "rungs": [1, 3]}
        trial = with_stages(tiny_bert, files, tapt=tapt)
        results[epochs] = fit(trial, out=study / "trials" / str(number), study=study)
    (stage,) = stages(study)
    kept = {record.rung: record for record in RunFolder(stage).kept()}
    assert set(kept) == {None, 1} and kept[1].epoch == 1
    assert results[3].base == f"{results[0].base}+{stage.name}" and results[1].base == f"{results[3].base}@1"
    values = {epochs: result.loss for epochs, result in results.items()}
    assert len(set(values.values())) == 3
    exported = export_run(study, tmp_path / "one", trial=0)
    assert gap_to(exported, study, trial=0) < 1e-5


def gap_to(folder: Path, study: Path, *, trial: int) -> float:
    """How far the loss of an exported trial on validation is from the one that it was recorded with."""
    result = RunFolder(study / "trials" / str(trial)).result()
    assert result is not None and result.loss is not None
    model = load(folder)
    rows = [json.loads(line) for line in Path(result.config["data"]["validation"]).read_text().splitlines()]
    answers = model.predict([row["text"] for row in rows])
    right = [answer.probabilities[row["label"]] for answer, row in zip(answers, rows, strict=True)]
    return abs(-float(torch.tensor(right).log().mean()) - result.loss)


@pytest.mark.parametrize("head", ["auto", "native"])
def test_an_adapter_is_exported_with_the_base_that_it_was_trained_on(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str], head: str
) -> None:
    document = with_stages(tiny_bert, files, tapt={"steps": 12}).model_dump(mode="json")
    model = {**document["model"], "head": {"kind": head}}
    lora = {**document, "peft": {"method": "lora", "r": 2}, "model": model, "optim": {"name": "adamw"}}
    fit(RunConfig.model_validate(lora), out=tmp_path / "run")
    moved = shutil.move(tmp_path / "run" / "best", tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "run")
    texts = ["the film was great", "the day was terrible"]
    answers = load(Path(moved)).predict(texts)
    base = AutoModel.from_pretrained(f"{moved}/base")
    original = AutoModel.from_pretrained(tiny_bert)
    assert not torch.equal(base.embeddings.word_embeddings.weight, original.embeddings.word_embeddings.weight)
    merged = export_run(Path(moved), tmp_path / "merged", merge=True)
    assert not (merged / "base").exists()
    for one, other in zip(answers, load(merged).predict(texts), strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_what_a_method_learns_is_folded_into_the_base(tmp_path: Path, tiny_bert: Path, files: dict[str, str]) -> None:
    lora = with_stages(tiny_bert, files, tapt={"steps": 12}, peft={"method": "lora", "r": 2})
    result = fit(lora, out=tmp_path / "run")
    (stage,) = stages(tmp_path / "run")
    (record,) = RunFolder(stage).kept()
    assert record.bytes < 0.5 * result.checkpoints[0].bytes if result.checkpoints else record.bytes < 100_000
    plain = fit(config(str(tiny_bert), files), out=tmp_path / "plain")
    assert plain.loss != result.loss


def test_decoders_go_on_from_left_to_right(tmp_path: Path, tiny_gpt2: Path, files: dict[str, str]) -> None:
    result = fit(with_stages(tiny_gpt2, files, tapt={"steps": 6}), out=tmp_path / "run")
    (stage,) = stages(tmp_path / "run")
    record = RunFolder(stage).result()
    assert record is not None and record.objective.name == "perplexity" and result.base is not None
    with pytest.raises(ModelError, match=r"pretrain\.tapt\.masking=span is for models that fill in hidden tokens"):
        fit(with_stages(tiny_gpt2, files, tapt={"masking": "span"}), out=tmp_path / "other")


def test_a_corpus_is_read_without_what_is_scored(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str], corpus: str
) -> None:
    scored = json.loads(Path(files["test"]).read_text().splitlines()[0])["text"]
    scored = max((json.loads(line)["text"] for line in Path(files["test"]).read_text().splitlines()), key=len)
    both = tmp_path / "corpus.jsonl"
    both.write_text(Path(corpus).read_text() + json.dumps({"text": scored.upper() + "!"}) + "\n")
    said: list[str] = []
    fit(with_stages(tiny_bert, files, dapt={"corpus": str(both), "steps": 3}), out=tmp_path / "run", say=said.append)
    assert "dapt: left out 1 texts or paragraphs that are nearly scored ones" in said
    without = fit(with_stages(tiny_bert, files, dapt={"corpus": corpus, "steps": 3}), out=tmp_path / "without")
    assert RunFolder(tmp_path / "run").result().base == without.base  # type: ignore[union-attr]


def test_other_texts_are_refused_where_a_run_goes_on(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str], corpus: str
) -> None:
    own = tmp_path / "corpus.jsonl"
    shutil.copyfile(corpus, own)
    document = with_stages(tiny_bert, files, dapt={"corpus": str(own), "steps": 3})
    with pytest.raises(Interrupted):
        fit(document, out=tmp_path / "run", stop=after_steps(8))
    assert RunFolder(tmp_path / "run").progress().base is not None
    own.write_text(own.read_text() + json.dumps({"text": "we love the film and the day"}) + "\n")
    with pytest.raises(FolderError, match="pretrained with other texts or settings"):
        fit(document, out=tmp_path / "run")


def test_too_little_text_is_refused(tmp_path: Path, tiny_bert: Path, files: dict[str, str]) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("one")
    with pytest.raises(DataError, match="a twentieth can be held out"):
        fit(with_stages(tiny_bert, files, dapt={"corpus": str(empty)}), out=tmp_path / "run")


def test_a_run_records_what_its_base_learned(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str], corpus: str
) -> None:
    stages_of_both = {"dapt": {"corpus": corpus, "steps": 12}, "tapt": {"epochs": 1, "rungs": [2]}}
    result = fit(with_stages(tiny_bert, files, seed=None, **stages_of_both), out=tmp_path / "run")
    dapt, tapt = result.pretraining
    assert (dapt.name, tapt.name) == ("dapt", "tapt")
    assert result.base is not None and result.base.endswith(f"+{dapt.digest}+{tapt.digest}@1")
    assert dapt.texts == 76 and tapt.texts == 57  # a twentieth is held out
    assert (tapt.epoch, tapt.steps, len(tapt.losses)) == (1, 4, 1)
    assert len(dapt.losses) == 3 and dapt.loss == min(loss for loss in dapt.losses if loss is not None)
    assert dapt.seconds > 0
    other = fit(with_stages(tiny_bert, files, seed=3, **stages_of_both), out=tmp_path / "other")
    assert other.pretraining[0].digest != dapt.digest
    again = fit(with_stages(tiny_bert, files, seed=0, **stages_of_both), out=tmp_path / "again")
    assert again.pretraining[0].digest == dapt.digest
