"""Language models on the way from a config to answers."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from language_models import write_model
from tiny_runs import config
from tunery.errors import ConfigError, DataError, RequestError
from tunery.pages import write_page
from tunery.schema.config.generation import Generation
from tunery.train.fit import fit
from tunery.train.predict.inference import evaluate, load
from tunery.train.predict.predict_file import Answer, Columns, evaluate_file, predict_file

WORDS = ["the", "film", "was", "good", "and", "bad", "but", "we", "liked", "it", "a", "lot", "in", "end", "so", "see"]
BASES = {"causal_lm": "gpt2", "mlm": "bert"}


def write_texts(folder: Path, *, rows: int = 40) -> dict[str, str]:
    draw, files = random.Random(0), {}
    for split, count in {"train": rows, "validation": 8, "test": 8}.items():
        texts = (" ".join(draw.choices(WORDS, k=draw.randint(3, 60))) for _ in range(count))
        files[split] = str(folder / f"{split}.jsonl")
        Path(files[split]).write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return files


def run_of(kind: str, folder: Path, **sections: Any) -> Any:
    (folder / "base").mkdir(exist_ok=True)
    base = write_model(BASES[kind], folder / "base")
    data = sections.pop("data", None) or write_texts(folder)
    return config(str(base), data, task={"kind": kind, **sections.pop("task", {})}, **sections)


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("peft", ["none", "lora"])
def test_a_run_is_better_than_its_base_and_scored_again_alike(kind: str, peft: str, tmp_path: Path) -> None:
    run = run_of(kind, tmp_path, peft=peft, train={"epochs": 4, "batch_size": 4})
    result = fit(run, out=tmp_path / "run", texts=True)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    course = [line["value"] for line in map(json.loads, lines) if line["name"] == "validation/loss"]
    assert course[-1] < course[0] and result.metrics.test is not None
    again = evaluate(tmp_path / "run")
    assert again == result.metrics.test and again["perplexity"] > 1
    assert ("pseudo_perplexity" in again) == (kind == "mlm")
    worst = json.loads((tmp_path / "run" / "worst_rows.json").read_text())["rows"]
    assert len(worst) == 8 and [row["loss"] for row in worst] == sorted((row["loss"] for row in worst), reverse=True)
    write_page(tmp_path / "run", texts=True)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "per label" not in page and worst[0]["texts"][0]["text"] in page
    assert "Worst texts" in page and worst[0]["tokens"] > 0 and ("bits per byte" in page) == (kind == "causal_lm")
    if peft == "none":  # the folder is one of transformers, its head tied as in the base
        kinds: Any = {"causal_lm": AutoModelForCausalLM, "mlm": AutoModelForMaskedLM}
        model = kinds[kind].from_pretrained(str(tmp_path / "run" / "best"))
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
        assert len(AutoTokenizer.from_pretrained(str(tmp_path / "run" / "best"))) > 100


@pytest.mark.parametrize("kind", BASES)
def test_a_file_of_text_is_scored_like_the_split_it_equals(kind: str, tmp_path: Path) -> None:
    """As one text, whatever its lines are; parts of it say how far its choice carries."""
    draw, files = random.Random(0), {}
    for split, lines in {"train": 60, "validation": 20, "test": 100}.items():
        files[split] = str(tmp_path / f"{split}.txt")
        Path(files[split]).write_text("".join(" ".join(draw.choices(WORDS, k=12)) + "\n" for _ in range(lines)))
    run = run_of(kind, tmp_path, data=files, train={"epochs": 1, "batch_size": 8})
    result = fit(run, out=tmp_path / "run")
    assert result.data is not None and result.data.splits["test"].rows == 1
    assert len({*result.metrics.test_without_block}) > 20
    assert evaluate_file(tmp_path / "run", Path(files["test"])) == result.metrics.test


def test_it_goes_on_from_texts_in_files_and_programs(tmp_path: Path) -> None:
    files = write_texts(tmp_path)
    fit(run_of("causal_lm", tmp_path, data=files, train={"epochs": 1, "batch_size": 8}), out=tmp_path / "run")
    predictor = load(tmp_path / "run")
    generation = Generation(max_new_tokens=5, temperature=1.0, seed=3)
    first, second = predictor.predict(["the film", "we"], generation=generation)
    assert first.text and second.text and 0 < first.confidence < 1
    assert "".join(predictor.stream("the film", generation)) == first.text
    answer = Answer(generation=generation, keep=("text",))
    assert predict_file(tmp_path / "run", Path(files["test"]), tmp_path / "out.jsonl", answer=answer) == 8
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert all(set(row) == {"text", "completion", "confidence"} and row["completion"] for row in rows)
    with pytest.raises(RequestError, match="a threshold is for tasks that give labels"):
        predictor.predict(["a"], threshold=0.5)


def test_a_chat_is_answered_where_chats_were_learned(tmp_path: Path) -> None:
    draw = random.Random(0)

    def chat() -> str:
        said = [" ".join(draw.choices(WORDS, k=4)) for _ in range(2)]
        messages = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), said, strict=True)]
        return json.dumps({"messages": messages}) + "\n"

    files = {split: str(tmp_path / f"{split}.jsonl") for split in ("train", "validation", "test")}
    for split, count in {"train": 24, "validation": 6, "test": 6}.items():
        Path(files[split]).write_text("".join(chat() for _ in range(count)))
    data = {**files, "messages": "messages"}
    result = fit(run_of("causal_lm", tmp_path, data=data, train={"epochs": 1, "batch_size": 8}), out=tmp_path / "run")
    assert result.metrics.test is not None and result.metrics.test["tokens"] < 6 * 20, "answers alone are told"
    (said,) = load(tmp_path / "run").predict("was it good", generation=Generation(max_new_tokens=4))
    assert said.text is not None
    predict_file(tmp_path / "run", Path(files["test"]), tmp_path / "out.jsonl", answer=Answer(keep=()))
    lines = (tmp_path / "out.jsonl").read_text()
    assert all("completion" in json.loads(line) for line in lines.splitlines())
    renamed = tmp_path / "renamed.jsonl"
    renamed.write_text(Path(files["test"]).read_text().replace('"messages"', '"turns"'))
    predict_file(
        tmp_path / "run", renamed, tmp_path / "same.jsonl", answer=Answer(keep=()), columns=Columns(text="turns")
    )
    assert (tmp_path / "same.jsonl").read_text() == lines


def test_prompts_of_a_file_may_have_another_name(tmp_path: Path) -> None:
    draw = random.Random(0)
    files = {split: str(tmp_path / f"{split}.jsonl") for split in ("train", "validation", "test")}
    for split, count in {"train": 24, "validation": 6, "test": 6}.items():
        said = [[" ".join(draw.choices(WORDS, k=4)) for _ in range(3)] for _ in range(count)]
        rows = ({"task": task, "input": text, "output": answer} for task, text, answer in said)
        Path(files[split]).write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {**files, "prompt": ["task", "input"], "completion": "output"}
    fit(run_of("causal_lm", tmp_path, data=data, train={"epochs": 1, "batch_size": 8}), out=tmp_path / "run")
    same, other = tmp_path / "same.jsonl", tmp_path / "other.jsonl"
    predict_file(tmp_path / "run", Path(files["test"]), same, answer=Answer(keep=()))
    renamed = tmp_path / "renamed.jsonl"
    renamed.write_text(Path(files["test"]).read_text().replace('"task"', '"what"').replace('"input"', '"of"'))
    answer, columns = Answer(keep=()), Columns(text="what,of")
    assert predict_file(tmp_path / "run", renamed, other, answer=answer, columns=columns) == 6
    assert other.read_text() == same.read_text()


def test_what_writes_nothing_is_not_asked_to(tmp_path: Path) -> None:
    fit(run_of("mlm", tmp_path, train={"epochs": 1, "batch_size": 8}), out=tmp_path / "run")
    predictor = load(tmp_path / "run")
    (said,) = predictor.predict("the film was good")
    assert said.scores["perplexity"] > 1 and said.text is None
    with pytest.raises(RequestError, match="answers about texts and writes none"):
        predictor.predict("the film", generation=Generation())
    with pytest.raises(RequestError, match="answers about texts and writes none"):
        next(predictor.stream("the film"))


def test_a_model_without_masks_and_one_that_sees_all_are_refused(tmp_path: Path) -> None:
    files = write_texts(tmp_path)
    for kind, family in (("mlm", "gpt2"), ("causal_lm", "bert")):
        (tmp_path / kind).mkdir()
        base = write_model(family, tmp_path / kind)
        with pytest.raises(Exception, match=r"task.kind=(mlm hides tokens|causal_lm needs another model)"):
            fit(config(str(base), files, kind=kind), out=tmp_path / "run")
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("peft", ["probe", "tfidf", "majority", "prefix"])
def test_methods_that_do_not_fit_are_refused_in_the_config(peft: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="peft.method: "):
        run_of("causal_lm", tmp_path, peft=peft)
    with pytest.raises((ConfigError, DataError), match="label_smoothing"):
        run_of("causal_lm", tmp_path, regularization={"label_smoothing": 0.1})


@pytest.mark.parametrize("peft", ["none", "lora"])
def test_a_head_that_is_new_is_said_to_be(peft: str, tmp_path: Path) -> None:
    """The layer before the decoder, and in full training the bias of the decoder: its matrix is that of the words."""
    base = write_model("bert", tmp_path, bare=True)
    run = config(str(base), write_texts(tmp_path), kind="mlm", peft=peft, train={"epochs": 1, "batch_size": 8})
    result = fit(run, out=tmp_path / "run")
    words = len(AutoTokenizer.from_pretrained(str(base)))
    new = 32 * 32 + 3 * 32 + (words if peft == "none" else 0)
    assert result.parameters is not None and result.parameters.fresh == new
    write_page(tmp_path / "run")
    assert f"a new head has {new:,} of them" in (tmp_path / "run" / "report.html").read_text()
    assert evaluate(tmp_path / "run") == result.metrics.test
