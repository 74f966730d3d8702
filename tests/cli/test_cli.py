"""The command line: one JSON document, clear refusals, exit codes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from fake_cells import Fake
from fast_and_slow import slow_but
from tiny_runs import write_rows
from tunery import pages
from tunery.cli import main
from tunery.comparison import comparison_store
from tunery.comparison.compare import compare
from tunery.optim.plots import schedule_plots

Run = tuple[int, str, str]


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> Run:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return int(left.value.code or 0), printed.out, printed.err


@pytest.fixture
def config(tiny_bert: Path, tmp_path: Path) -> Path:
    document = {
        "task": {"kind": "classification"},
        "data": {**write_rows(tmp_path), "id": "id"},
        "model": {"name": str(tiny_bert), "max_length": 32},
        "peft": {"method": "lora"},
        "train": {"epochs": 1, "batch_size": 8},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def edit(path: Path, **sections: Any) -> None:
    document = yaml.safe_load(path.read_text())
    for name, value in sections.items():
        document[name] = {**document.get(name, {}), **value}
    path.write_text(yaml.safe_dump(document))


def worst_rows(out: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((out / "worst_rows.json").read_text())["rows"]
    return rows


@pytest.mark.smoke
def test_train_evaluate_predict_report(capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, printed, told = call(capsys, "train", config, "optim.lr=3e-3", "--out", out, "--json")
    result = json.loads(printed)
    assert code == 0 and result["status"] == "completed" and result["config"]["optim"]["lr"] == 3e-3
    assert "epoch 1/1  validation f1_macro" in told and "Traceback" not in told
    assert (out / "report.html").exists()

    assert all(row["texts"] for row in worst_rows(out))
    code, printed, told = call(capsys, "train", config, "optim.lr=3e-3", "--out", out, "--no-texts", "--json")
    assert code == 0 and json.loads(printed) == result and "epoch" not in told
    assert not any(row["texts"] for row in worst_rows(out))

    code, printed, _ = call(capsys, "evaluate", out, "--split", "test", "--json")
    assert code == 0 and json.loads(printed)["metrics"]["f1_macro"] == result["metrics"]["test"]["f1_macro"]

    target, command = tmp_path / "answers.csv", ["predict", out, "--input", tmp_path / "test.jsonl"]
    code, printed, _ = call(capsys, *command, "--output", target, "--keep", "id", "--probabilities", "--json")
    assert code == 0 and json.loads(printed) == {"rows": 24, "output": str(target)}
    assert target.read_text().startswith("id,label,confidence,p_bad,p_good\ntest-0,")
    code, _, told = call(capsys, *command, "--output", target)
    assert code == 2 and "--overwrite" in told
    code, printed, _ = call(capsys, *command, "--output", target, "--overwrite", "--threshold", "1", "--top-k", "1")
    assert code == 0 and printed == f"24 rows written to {target}\n"
    assert target.read_text().splitlines()[0] == "id,text,input_label,label,confidence,top_1,top_1_p"
    code, printed, _ = call(capsys, "evaluate", out, "--input", tmp_path / "test.jsonl", "--json")
    assert code == 0 and json.loads(printed)["metrics"]["accuracy"] == result["metrics"]["test"]["accuracy"]

    for row, message in {
        "txt,id\nx,1\n": "no column 'text' (data.text)",
        '{"text": ["a"], "id": 1}': "column 'text' must hold a text",
    }.items():
        source = tmp_path / ("bad.csv" if "txt" in row else "bad.jsonl")
        source.write_text(row)
        code, _, told = call(capsys, "predict", out, "--input", source, "--output", tmp_path / "none.csv")
        assert code == 2 and message in told and not (tmp_path / "none.csv").exists()

    code, printed, _ = call(capsys, "train", config, "optim.lr=3e-3", "--out", out)
    assert code == 0 and "f1_macro" in printed and "parameters trained" in printed
    code, printed, _ = call(capsys, "report", out)
    assert code == 0 and "report.html" in printed


@pytest.mark.smoke
def test_search_prints_the_study(capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path) -> None:
    space = ["optim.lr={low: 1e-4, high: 1e-2, log: true}", "peft.r=[2, 4]"]
    command = ["search", config, *space, "--trials", "2", "--out", tmp_path / "study"]
    code, printed, told = call(capsys, *command, "--json")
    study = json.loads(printed)
    assert code == 0 and study["counts"]["total"] == 2 and study["best"]["test"]["f1_macro"] is not None
    assert "trial 1 completed" in told
    code, printed, _ = call(capsys, *command)
    assert code == 0 and "leaderboard.csv" in printed and "seconds  r  lr" in printed
    assert call(capsys, "evaluate", tmp_path / "study", "--json")[0] == 0
    assert call(capsys, "report", tmp_path / "study", "--json")[0] == 0


def test_compare_prints_table_verdicts_and_places(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(compare.__kwdefaults__, "runner", Fake())
    # drawn in the report's own tests
    monkeypatch.setattr(comparison_store, "comparison_png", lambda _: b"")
    monkeypatch.setattr(pages, "comparison_html", lambda *_, **__: "<html></html>")
    out = tmp_path / "comparison"
    command = ["compare", config, "train.epochs=2", "lora:peft.r=4", "--methods", "none,lora,ia3", "--out", out]
    code, printed, told = call(capsys, *command, "--json")
    record = json.loads(printed)
    assert code == 0 and [method["method"] for method in record["methods"]] == ["none", "lora", "ia3"]
    assert "[5/9] lora seed 1 …" in told and "[5/9] lora seed 1 completed: test f1_macro 0.7100 in 10 s" in told
    assert (record["seeds"], record["cells"][1]["result"]["config"]["peft"]["r"]) == ([0, 1, 2], 4)

    code, printed, told = call(capsys, *command)
    table, _, words = printed.partition("\n\n")
    assert code == 0 and told.endswith("; nothing was trained\n") and max(map(len, table.splitlines())) <= 100
    assert "lora              0.7100 ± " in table and "lora: 0.7100 against 0.8100 of full fine-tuning" in words
    assert all(name in words for name in ("best", "report.html", "comparison.csv", "comparison.png"))

    (out / "report.html").unlink()
    code, printed, _ = call(capsys, "report", out)
    assert code == 0 and (out / "report.html").exists()

    code, printed, _ = call(capsys, "compare", config, "--methods", "lroa", "--baseline", "none", "--json")
    assert code == 2 and "did you mean 'lora'" in printed
    assert json.loads(call(capsys, "schema", "comparison")[1])["title"] == "ComparisonResult"


@pytest.mark.smoke
def test_init_writes_a_config_that_check_accepts(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path
) -> None:
    written = tmp_path / "guessed.yaml"
    code, printed, _ = call(capsys, "init", tmp_path / "train.jsonl", "--out", written, "--json")
    assert code == 0 and json.loads(printed)["config"] == str(written)
    code, printed, _ = call(
        capsys, "check", written, f"model.name={yaml.safe_load(config.read_text())['model']['name']}", "--json"
    )
    assert code == 0 and json.loads(printed)["ok"] is True
    code, _, told = call(capsys, "init", tmp_path / "train.jsonl", "--out", written)
    assert code == 2 and "replaced with --overwrite only" in told
    code, _, told = call(capsys, "init", tmp_path / "train.jsonl", "--out", tmp_path / "train.jsonl", "--overwrite")
    assert code == 2 and "two files" in told
    assert call(capsys, "init", tmp_path / "train.jsonl", "--out", written, "--overwrite")[0] == 0


def test_check_warns_of_a_rate_that_was_meant_for_another_method(
    capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    code, printed, _ = call(capsys, "check", config, "peft=none", "optim.lr=1e-3", "--json")
    told = [finding for finding in json.loads(printed)["findings"] if finding["code"] == "learning_rate"]
    assert (code, told[0]["level"]) == (0, "warning")
    assert told[0]["message"].startswith("optim.lr=0.001 is 20 times the default, 5e-05, for peft=full")


def test_check_stops_at_a_fatal_finding(capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path) -> None:
    rows = (tmp_path / "test.jsonl").read_text()
    (tmp_path / "validation.jsonl").write_text(rows)
    code, printed, _ = call(capsys, "check", config, "--json")
    report = json.loads(printed)
    assert code == 2 and report["ok"] is False and report["findings"][0]["code"] == "shared_rows"
    code, _, told = call(capsys, "train", config, "--out", tmp_path / "run")
    assert code == 2 and "data.allow: [shared_rows]" in told and not (tmp_path / "run").exists()
    assert call(capsys, "check", config, "data.allow=[shared_rows]")[0] == 0


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "missing file": ({"data": {"train": "trian.jsonl"}}, r"trian.jsonl"),
    "wrong column": ({"data": {"text": "txt"}}, r"'txt'.*(text|id, label)"),
    "empty file": ({"data": {"train": "empty.csv"}}, r"empty.csv.*empty|empty.*empty.csv"),
    "label only in test": ({"data": {"test": "strange.jsonl"}}, r"ugly.*test|test.*ugly"),
    "not UTF-8": ({"data": {"train": "latin.jsonl"}}, r"latin.jsonl.*UTF-8"),
    "typo in a key": ({"optim": {"larning_rate": 1}}, r"optim.larning_rate: unknown key"),
    "typo in a choice": ({"peft": {"method": "loar"}}, r"peft.method: unknown choice 'loar'; did you mean 'lora'\?"),
    "illegal combination": ({"freeze": {"strategy": "freeze_encoder"}}, r"freeze.strategy: .*already freezes"),
    "range in train": ({"optim": {"lr": {"low": 1e-5, "high": 1e-3}}}, r"optim.lr: .*tunery search"),
    "unknown objective": ({"search": {"objective": "f1"}}, r"search.objective: 'f1' is not a metric"),
    "warm-up too long": ({"schedule": {"warmup": 500}}, r"schedule.warmup: .*got 500 of 8 steps"),
    "unknown model": ({"model": {"name": "no/such-model"}}, r"no/such-model"),
    "fp16 on a CPU": ({"model": {"precision": "fp16"}}, r"fp16 needs a CUDA device"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_request_gets_one_clear_message_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path, case: str
) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "latin.jsonl").write_bytes('{"text": "caf\u00e9", "label": "good"}\n'.encode("latin-1"))
    (tmp_path / "strange.jsonl").write_text('{"text": "odd words here", "label": "ugly", "id": "x"}\n')
    change, message = BAD[case]
    edit(config, **change)
    before = sorted(tmp_path.iterdir())
    code, printed, told = call(capsys, "train", config, "--out", tmp_path / "run", "--json")
    error = json.loads(printed)
    assert code == error["exit_code"] == 2
    assert re.search(message, told.replace("\n", " ")), told
    assert "Traceback" not in told and error["error"]["message"] in told
    assert sorted(tmp_path.iterdir()) == before


def test_several_mistakes_are_told_at_once(capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path) -> None:
    edit(config, optim={"lr": -1}, peft={"method": "loar"}, data={"lable": "x"})
    code, printed, _ = call(capsys, "train", config, "trian.epochs=3", "--out", tmp_path / "run", "--json")
    assert code == 2
    assert {p["path"] for p in json.loads(printed)["error"]["problems"]} >= {
        "optim.lr",
        "peft.method",
        "data.lable",
        "trian",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "nowhere.yaml"), "nowhere.yaml"),
        (("trian", "x.yaml"), "trian"),
        (("evaluate", "nowhere"), "there is no folder 'nowhere'"),
        (("predict", "nowhere", "--input", "x.csv", "--output", "y.xlsx"), "written as .jsonl, .csv, .tsv"),
        (("report", "nowhere"), "there is no folder 'nowhere'"),
    ],
)
def test_wrong_arguments_exit_with_two(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    code, _, told = call(capsys, *arguments)
    assert code == 2 and message in told and "Traceback" not in told


def test_an_unwritable_folder_is_refused(capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path) -> None:
    code, _, told = call(capsys, "train", config, "--out", tmp_path / "train.jsonl" / "run")
    assert code == 2 and "must be writable" in told


def test_an_existing_run_with_another_config_is_refused(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path
) -> None:
    assert call(capsys, "train", config, "--out", tmp_path / "run")[0] == 0
    code, _, told = call(capsys, "train", config, "seed=3", "--out", tmp_path / "run")
    assert code == 2 and "another config (seed: 0 there, 3 now)" in told


def test_schema_and_models(capsys: pytest.CaptureFixture[str]) -> None:
    for which in ("config", "result", "study"):
        code, printed, _ = call(capsys, "schema", which)
        assert code == 0 and json.loads(printed)["properties"]
        assert call(capsys, "schema", which, "--markdown")[1].startswith("#")
    code, printed, _ = call(capsys, "models", "--json")
    assert code == 0 and any(row["alias"] == "minilm" for row in json.loads(printed))


def test_the_reference_page_is_current_and_draws_every_schedule(capsys: pytest.CaptureFixture[str]) -> None:
    code, printed, _ = call(capsys, "schema", "--markdown")
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert code == 0 and page.read_text(encoding="utf-8") == printed, f"{page.name} is out of date; type: make docs"
    for (section, name), plot in schedule_plots().items():
        assert re.search(rf"### {section}: {name}\n\n[^\n]+\n\n```text\n{re.escape(plot)}\n```\n", printed)


@pytest.mark.parametrize("options", [[], ["--markdown"]], ids=["json", "markdown"])
def test_schema_loads_no_torch(options: list[str]) -> None:
    code = f"""
import sys
from tunery.cli import main
try:
    main(["schema", *{options!r}])
except SystemExit:
    print([name for name in ("torch", "transformers", "optuna") if name in sys.modules], file=sys.stderr)
"""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]" and "one_cycle" in done.stdout


@pytest.mark.parametrize("number", slow_but([signal.SIGINT, signal.SIGTERM], signal.SIGINT))
def test_a_signal_leaves_a_resumable_run(config: Path, tmp_path: Path, number: int) -> None:
    """A real process: exit code 130, then the same command finishes the run."""
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "tunery",
        "train",
        str(config),
        "train.epochs=60",
        "train.log_every=1",
        "--out",
        str(out),
    ]
    process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (out / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, number)
    printed, told = process.communicate(timeout=120)
    assert process.returncode == 130 and "the same command resumes it" in told, told
    assert json.loads(printed)["error"]["kind"] == "Interrupted"
    assert not (out / "result.json").exists() and any((out / "resume").iterdir())
