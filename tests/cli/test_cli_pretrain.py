"""Continued pretraining on the command line: what is said of it, and what is typed next."""

import json
import shlex
from pathlib import Path

import pytest
import yaml

from tiny_runs import write_rows
from tunery.cli import main


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return int(left.value.code or 0), printed.out, printed.err


@pytest.fixture
def config(tiny_masked_lm: Path, tmp_path: Path) -> Path:
    document = {
        "task": {"kind": "classification"},
        "data": write_rows(tmp_path),
        "model": {"name": str(tiny_masked_lm), "max_length": 32},
        "train": {"epochs": 1, "batch_size": 8},
        "pretrain": {"tapt": {"epochs": 2}, "lr": 1e-2},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_pretrain_says_what_was_learned_and_what_is_next(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "adapted"
    code, printed, told = call(capsys, "pretrain", config, "--out", out)
    assert code == 0 and "adapted: tapt: step 4 of 8, held-out loss " in told
    head, row, *_ = printed.splitlines()
    assert head.split() == ["stage", "texts", "steps", "held-out", "loss", "seconds"]
    assert row.split()[:3] == ["tapt", "57", "8"] and "->" in row
    assert (out / "report.html").exists()

    code, again, told = call(capsys, "pretrain", config, "--out", out)
    assert (code, again) == (0, printed) and "nothing was trained" in told
    code, printed, _ = call(capsys, "pretrain", config, "--out", out, "--json")
    assert code == 0 and json.loads(printed)["pretraining"][0]["epoch"] == 2

    command = next(line for line in again.splitlines() if line.startswith("next:")).removeprefix("next:")
    _, *arguments = shlex.split(command)
    code, printed, _ = call(capsys, *arguments, "--out", tmp_path / "run", "--json")
    record = json.loads(printed)
    assert code == 0 and record["pretraining"] == [] and record["config"]["model"]["name"] == str(out / "best")

    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": "the [MASK] was good"}) + "\n")
    answers = tmp_path / "answers.jsonl"
    code, _, _ = call(capsys, "predict", out, "--input", tmp_path / "rows.jsonl", "--output", answers)
    assert code == 0 and len(answers.read_text().splitlines()) == 1
    code, printed, told = call(capsys, "evaluate", out, "--input", tmp_path / "test.jsonl", "--json")
    assert "could not be looked at: it comes from continued pretraining, which records its texts as a whole" in told
    assert code == 0 and json.loads(printed)["metrics"]["pseudo_perplexity"] > 1
    code, _, told = call(capsys, "evaluate", out)
    assert code == 2 and "score a file: --input FILE" in told


def test_check_counts_the_texts_and_steps_of_every_stage(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus.jsonl"
    scored = max((json.loads(line)["text"] for line in (tmp_path / "test.jsonl").open()), key=len)
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in (*map(str, range(30)), scored)))
    stages = f"pretrain={{dapt: {{corpus: {corpus}}}, tapt: {{epochs: 4}}}}"
    code, printed, _ = call(capsys, "check", config, stages, "--json")
    report = json.loads(printed)
    said = {finding["message"] for finding in report["findings"] if finding["code"].startswith("pretraining")}
    assert code == 0 and report["ok"]
    (tapt,) = [message for message in said if message.startswith("pretrain.tapt learns from 57 texts with ")]
    assert tapt.endswith("and holds out 3: 16 steps of 16 are 4 epochs of 4 steps")
    (dapt,) = [message for message in said if message.startswith("pretrain.dapt learns from ")]
    assert "1,000 steps of 16 are 500 epochs of 2 steps, at most" in dapt
    assert any(message.startswith("pretrain.dapt.corpus: 1 texts, or paragraphs") for message in said)

    code, printed, _ = call(capsys, "check", config, stages, "pretrain.batch_size=64", "--json")
    few = [finding["message"] for finding in json.loads(printed)["findings"] if finding["code"] == "small_corpus"]
    assert code == 0 and len(few) == 2 and "pretrain.tapt has 57, or sequences of them" in few[1]

    corpus.write_text(json.dumps({"words": "one two"}) + "\n")
    code, printed, _ = call(capsys, "check", config, stages, "--json")
    fatal = [finding["message"] for finding in json.loads(printed)["findings"] if finding["level"] == "fatal"]
    assert code == 2 and len(fatal) == 1 and fatal[0].startswith("pretrain.dapt.corpus: ")


def test_check_finds_what_the_model_has_no_positions_for(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    code, printed, _ = call(capsys, "check", config, "model.max_length=1024", "--json")
    fatal = [finding["message"] for finding in json.loads(printed)["findings"] if finding["level"] == "fatal"]
    assert code == 2 and len(fatal) == 1 and fatal[0].startswith("`model.max_length <= 512` must hold, because ")
    code, _, told = call(capsys, "train", config, "model.max_length=1024")
    assert code == 2 and fatal[0] in told


@pytest.mark.parametrize("verb", ["pretrain", "train", "check"])
def test_a_corpus_that_is_not_there_is_missed(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path, verb: str
) -> None:
    code, printed, told = call(capsys, verb, config, "pretrain={dapt: {corpus: nowhere.txt}}")
    assert code == 2 and "pretrain.dapt.corpus: there is no file" in told and "Traceback" not in told + printed
