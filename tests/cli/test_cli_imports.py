"""A verb imports what it needs: what needs no torch does not wait for it, nor what needs no peft for that."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from fake_cells import record
from stored_runs import keep_best
from tiny_runs import config as tiny_config
from tiny_runs import native, write_rows
from tunery.schema.reading.document import validate
from tunery.store.disk.run_lock import own, run_lock
from tunery.store.folder import RunFolder

CODE = """
import contextlib, io, json, sys
from tunery.cli.app import main
answers = []
for arguments in json.loads(sys.argv[1]):
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
        try:
            main(arguments)
        except SystemExit as left:
            heavy = [name for name in sys.argv[2:] if name in sys.modules]
            answers.append((left.code, heavy, told.getvalue()))
print(json.dumps(answers))
"""
ML_STACK = ("torch", "transformers", "peft")
OPTIONAL = ("bitsandbytes", "matplotlib", "optuna", "pandas", "peft", "pyarrow", "pytorch_optimizer", "ray", "sklearn")
"""What some runs need, and none only to read a model or data."""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run without its model."""
    config = validate({"task": {"kind": "classification"}, "data": {"train": "train.csv"}})
    with run_lock(tmp_path / "run", config.model_dump(mode="json"), record="result.json"):
        folder = RunFolder(tmp_path / "run")
        keep_best(folder, 1, 0.5, key="best")
        folder.write_result(record(config, 0.5))
    return folder.path


def answers(*commands: list[object], names: Sequence[str] = ML_STACK) -> list[tuple[int, list[str], str]]:
    """Exit code of each command, which of the `names` were imported by then, and what was printed; in one process."""
    given = json.dumps([[str(argument) for argument in command] for command in commands])
    done = subprocess.run([sys.executable, "-c", CODE, given, *names], capture_output=True, text=True, check=True)
    return [tuple(answer) for answer in json.loads(done.stdout)]


def test_reports_and_cleaning_work_without_torch(run: Path) -> None:
    found = answers(["report", run], ["clean", run], ["clean", run, "--delete"], ["report", run, "--json"])
    assert [(code, heavy) for code, heavy, _ in found] == [(0, [])] * 4 and (run / "report.html").exists()


def test_what_can_be_refused_before_is_refused_without_torch(run: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("task: {kind: classification}\ndata: {train: train.csv}\n")
    (tmp_path / "rows.csv").write_text("text\nhello\n")
    own(tmp_path / "study")
    config, project, rows = tmp_path / "config.yaml", tmp_path, tmp_path / "rows.csv"
    found = answers(
        *([verb, config, "--out", project] for verb in ("pretrain", "train", "search", "compare")),
        ["pretrain", config, "--out", run],
        ["train", config, "--out", run],
        ["worker", "--storage", "postgresql://nobody@localhost:1/x", "--out", project],
        ["report", project],
        ["clean", project],
        ["evaluate", run],
        ["evaluate", run, "--input", rows],
        ["predict", run, "--input", rows, "--output", tmp_path / "new.csv"],
        ["predict", run, "--input", rows, "--output", tmp_path / "new.docx"],
        ["export", run, project],
        ["export", tmp_path / "nowhere", tmp_path / "new"],
        ["ensemble", project, tmp_path / "new"],
        ["ensemble", tmp_path / "study", project],
    )
    assert all((code, heavy) == (2, []) and told.startswith("error: ") for code, heavy, told in found), found
    assert len(found) == 17


def test_a_file_that_is_no_text_is_refused_without_torch(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("task: {kind: classification}\ndata: {train: rows.bin}\n")
    (tmp_path / "rows.bin").write_bytes(b"\x00")
    config = tmp_path / "config.yaml"
    found = answers(
        *([verb, config] for verb in ("pretrain", "train", "check", "search", "compare")),
        ["init", tmp_path / "rows.bin"],
    )
    assert all((code, heavy) == (2, []) and "this is no text" in told for code, heavy, told in found), found


def test_a_file_that_is_not_there_is_missed_without_torch(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("task: {kind: classification}\ndata: {train: rows.csv}\n")
    found = answers(*([verb, tmp_path / "config.yaml"] for verb in ("pretrain", "train", "check", "search", "compare")))
    assert all((code, heavy) == (2, []) and "there is no file" in told for code, heavy, told in found), found


def test_a_model_is_trained_and_used_without_what_only_other_runs_need(tiny_bert: Path, tmp_path: Path) -> None:
    document = tiny_config("", write_rows(tmp_path), model=native(tiny_bert), train={"epochs": 1, "batch_size": 8})
    source, run, new = tmp_path / "config.json", tmp_path / "run", tmp_path / "new.jsonl"
    source.write_text(document.model_dump_json())
    ((code, _, told),) = answers(["train", source, "--out", run])
    assert code == 0, told
    rows = tmp_path / "test.jsonl"
    used = [["check", source], ["evaluate", run], ["evaluate", run, "--input", rows]]
    found = answers(
        *used, ["predict", run, "--input", rows, "--output", new], names=(*OPTIONAL, "transformers.trainer")
    )
    assert [(code, heavy) for code, heavy, _ in found] == [(0, [])] * 4, found


NEEDED_LATER = """
import sys
from tunery.model.peft.chosen import method_of
from tunery.schema.config.peft import BitFit, Lora, NoPeft, Probe
for spec in NoPeft(), BitFit(), Probe():
    method_of(spec)
print("peft" in sys.modules)
method_of(Lora())
print("peft" in sys.modules)
import tunery.train.run
print(*(name for name in ("matplotlib", "optuna", "pytorch_optimizer", "ray", "sklearn") if name in sys.modules))
"""


def test_peft_is_imported_for_its_own_methods_and_what_trains_needs_nothing_of_other_runs() -> None:
    done = subprocess.run([sys.executable, "-c", NEEDED_LATER], capture_output=True, text=True, check=True)
    assert done.stdout == "False\nTrue\n\n"


READERS = """
import json, sys
from tunery.cli.app import main
from tunery.train.artifacts.reader_process import READER
found = []
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as left:
        found.append((left.code, READER.pid))
print(json.dumps(found))
"""


def test_the_process_that_reads_exports_is_there_for_a_run_alone_and_leaves_with_it(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("text,label\n" + "".join(f"text {number},a\n" for number in range(40)))
    document = {"task": {"kind": "classification"}, "data": {"train": str(tmp_path / "one.csv")}}
    config, finished = tmp_path / "one.json", tmp_path / "finished"
    config.write_text(json.dumps(document))
    spec = validate(document)
    with run_lock(finished, spec.model_dump(mode="json"), record="result.json"):
        RunFolder(finished).write_result(record(spec, 0.5))
    train = ["train", str(config), "--out"]
    folders = [[str(finished)], [str(tmp_path / "folds"), "data.folds=3"], [str(tmp_path / "new")]]
    given = json.dumps([[*train, *folder] for folder in folders])
    done = subprocess.run([sys.executable, "-c", READERS, given], capture_output=True, text=True, check=True)
    (of_finished, of_folds, (code, pid)) = json.loads(done.stdout.splitlines()[-1])
    assert of_finished == [0, None] and of_folds == [2, None]
    assert code == 2 and pid is not None and not Path(f"/proc/{pid}").exists()  # one label: nothing was trained
