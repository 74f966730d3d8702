"""What is on disk, as the command line tells it: `report`, `clean`, `export`, and what is said while a run works."""

import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_cli import call

from fake_cells import record
from tiny_runs import files_with
from tunery.cli.app import VERBS
from tunery.cli.exits import guarded
from tunery.cli.inventory import orphans
from tunery.errors import DiskFull, FolderError
from tunery.schema.reading.document import validate
from tunery.schema.results.run import CheckpointRecord
from tunery.schema.results.storage import StoredItem
from tunery.schema.results.worst_rows import Excerpt, WorstRow, WorstRows
from tunery.store import cleaning
from tunery.store.disk.lock import Holder, holder
from tunery.store.disk.run_lock import run_lock
from tunery.store.folder import RunFolder
from tunery.train.artifacts import export as exporting

SECRET = Excerpt(text="a secret", is_cut=False)
CONFIG = {"task": {"kind": "classification"}, "data": {"train": "train.csv", "test": "test.csv"}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An unfinished run: best weights, and an object of 400 bytes and more that nothing names."""
    path, config = tmp_path / "run", validate(CONFIG)
    with run_lock(path, config.model_dump(mode="json"), record="result.json"):
        folder = RunFolder(path)
        best = folder.objects.put({"w": torch.arange(50.0)})
        folder.objects.put({"w": torch.arange(100.0)})
        folder.write_kept([CheckpointRecord(kind="best", step=4, epoch=1.0, digest=best.digest, bytes=best.bytes)])
    return path


def finish(path: Path) -> None:
    (path / "best").mkdir()
    (path / "best" / "model.safetensors").write_bytes(bytes(1000))
    result = record(validate(CONFIG), 0.8).model_copy(update={"written_bytes": 1_000_000})
    RunFolder(path).write_result(result)
    RunFolder(path).close()


def weights(path: Path) -> list[str]:
    return sorted(file.stem for file in (path / "objects").iterdir() if not file.name.startswith("."))


def test_clean_shows_first_and_removes_only_when_told_to(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    before, (best,) = weights(run), (record.digest for record in RunFolder(run).kept())
    code, printed, _ = call(capsys, "clean", run)
    assert code == 0 and weights(run) == before and len(before) == 2
    assert "no record and no resume point refers to it" in printed
    assert re.search(r"\d+ B in all; nothing was removed; add --delete to remove it\n", printed)

    code, printed, _ = call(capsys, "clean", run, "--json")
    found = json.loads(printed)
    assert code == 0 and found["deleted"] is False and weights(run) == before
    assert [(item["kind"], item["path"].endswith(".safetensors")) for item in found["orphans"]] == [("orphan", True)]
    assert found["bytes"] == found["orphans"][0]["bytes"] > 0

    code, printed, _ = call(capsys, "clean", run, "--delete")
    assert code == 0 and weights(run) == [best] and "B removed" in printed
    code, printed, _ = call(capsys, "clean", run)
    assert code == 0 and printed == f"nothing to clean: everything in {run} is referenced\n"
    assert json.loads(call(capsys, "clean", run, "--delete", "--json")[1]) == {
        "orphans": [],
        "bytes": 0,
        "deleted": True,
    }


@pytest.mark.parametrize("part", ["", "trials/3", "cells/lora/0"])
@pytest.mark.parametrize("options", [[], ["--delete"]], ids=["dry", "delete"])
def test_clean_refuses_while_a_process_holds_any_part_of_the_folder(
    capsys: pytest.CaptureFixture[str], run: Path, part: str, options: list[str]
) -> None:
    before = weights(run)
    with run_lock(run / part, validate(CONFIG).model_dump(mode="json"), record="result.json"):
        code, _, told = call(capsys, "clean", run, *options)
    assert code == 2 and weights(run) == before
    assert f"in use by process {os.getpid()}" in told and "clean it when that has ended" in told


def test_nobody_can_begin_to_work_while_clean_removes(
    capsys: pytest.CaptureFixture[str], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Holder | None] = []

    def clean(path: Path, *, delete: bool) -> tuple[StoredItem, ...]:
        seen.append(holder(path))
        return ()

    monkeypatch.setattr(cleaning, "clean", clean)
    call(capsys, "clean", run, "--delete")
    call(capsys, "clean", run)
    assert [busy and busy.pid for busy in seen] == [os.getpid(), None]


def test_report_takes_texts_out_of_every_record(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    finish(run)
    row = WorstRow(id="r-7", loss=2.5, labels=("a",), answer=(), probabilities={"a": 0.1}, texts=[SECRET])
    places = [run, run / "trials" / "3"]
    for place in places:
        RunFolder(place).write_worst_rows(WorstRows(split="test", total=9, rows=(row,)))
    assert call(capsys, "report", run)[0] == 0 and SECRET.text in (run / "report.html").read_text()
    assert call(capsys, "report", run, "--no-texts")[0] == 0 and files_with(SECRET.text, run) == []
    assert "r-7" in (run / "report.html").read_text()
    assert all((place / "worst_rows.json").exists() for place in places)


@pytest.mark.parametrize("verb", ["clean", "report"])
def test_a_folder_that_is_not_tunerys_is_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, verb: str
) -> None:
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "mine.safetensors").write_bytes(b"precious")
    (tmp_path / "config.yaml").write_text("precious: too")
    code, _, told = call(capsys, verb, tmp_path)
    assert code == 2 and "it has no file '.tunery'" in told.replace("\n", " ")
    code, _, told = call(capsys, verb, tmp_path / "nowhere")
    assert code == 2 and "there is no folder" in told
    assert (tmp_path / "objects" / "mine.safetensors").exists()


def test_report_of_an_unfinished_run_says_what_is_stored_and_writes_no_page(
    capsys: pytest.CaptureFixture[str], run: Path
) -> None:
    code, printed, _ = call(capsys, "report", run)
    assert code == 0 and not (run / "report.html").exists()
    assert "no report.html yet: it is written when the work is finished" in printed
    assert "best epoch" in printed and "1 orphan" in printed and "of records (metrics" in printed
    code, printed, _ = call(capsys, "report", run, "--json")
    assert code == 0 and json.loads(printed)["report"] is None
    assert {item["kind"] for item in json.loads(printed)["storage"]["items"]} == {"best", "orphan", "records"}


def test_report_of_a_finished_run_writes_the_page_and_says_what_was_saved(
    capsys: pytest.CaptureFixture[str], run: Path
) -> None:
    call(capsys, "clean", run, "--delete")
    finish(run)
    RunFolder(run).write_kept(())
    call(capsys, "clean", run, "--delete")
    code, printed, _ = call(capsys, "report", run)
    assert code == 0 and f"written: {run / 'report.html'}" in printed
    wanted = "1 kB of weights and training state; keeping every checkpoint would have taken 1 MB: 99.9 % saved\n"
    assert wanted in printed and "orphan" not in printed
    assert re.search(r"^ *1 kB +exported model +the best model, as other tools load it +best", printed, re.MULTILINE)
    page = (run / "report.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "<h2>Disk</h2>" in page and wanted.strip() in page

    code, printed, _ = call(capsys, "report", run, "--json")
    answer = json.loads(printed)
    assert code == 0 and answer["report"] == str(run / "report.html")
    assert (answer["storage"]["bytes"], answer["storage"]["keep_all_bytes"]) == (1000, 1_000_000)
    assert answer["storage"]["record_bytes"] > 0


def test_long_lists_are_cut_and_paths_are_not_markup(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = [StoredItem(path=f"[red]{n}", kind="orphan", why="[b]left[/b]", bytes=n) for n in range(20, 0, -1)]
    orphans(found, tmp_path, deleted=False)
    printed = capsys.readouterr().out
    assert "[red]20" in printed and "[b]left[/b]" in printed and "[red]8" not in printed
    assert "and 8 more, 36 B\n" in printed and "210 B in all; nothing was removed" in printed


def test_export_passes_on_what_is_asked_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def export_run(run: Path, out: Path, **given: Any) -> Path:
        asked.append((run, out, given))
        return out

    monkeypatch.setattr(exporting, "export_run", export_run)
    (tmp_path / "run").mkdir()
    command = ["export", tmp_path / "run", tmp_path / "out"]
    code, printed, _ = call(capsys, *command, "--trial", "3", "--step", "40", "--merge")
    assert code == 0 and printed == f"written: {tmp_path / 'out'}\n"
    code, printed, _ = call(capsys, *command, "--json")
    assert code == 0 and json.loads(printed) == {"export": str(tmp_path / "out")}
    given = [{"trial": 3, "step": 40, "merge": True}, {"trial": None, "step": None, "merge": False}]
    assert asked == [(tmp_path / "run", tmp_path / "out", {**one, "trust_remote_code": False}) for one in given]


def test_export_of_nothing_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, told = call(capsys, "export", tmp_path / "nowhere", tmp_path / "out")
    assert code == 2 and "nowhere" in told and not (tmp_path / "out").exists()


def test_the_document_of_the_inventory_has_a_schema(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(call(capsys, "schema", "storage")[1])
    assert document["title"] == "Storage" and set(document["properties"]) >= {"items", "bytes", "keep_all_bytes"}
    assert "StoredItem" in call(capsys, "schema", "storage", "--markdown")[1]


def test_every_verb_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    _, printed, _ = call(capsys, "--help")
    assert all(re.search(rf"\b{verb.__name__} ", printed) for verb in VERBS)


FAILURES: dict[str, tuple[Callable[[], BaseException], int, str]] = {
    "disk full": (lambda: DiskFull("no room: `tunery clean runs/x`"), 1, "error: no room: `tunery clean runs/x`"),
    "folder": (lambda: FolderError("in use by process 7"), 2, "error: in use by process 7"),
    "disk": (
        lambda: OSError(28, "No space left on device", "runs/x/objects/y"),
        1,
        "error: runs/x/objects/y: No space left on device; once that is fixed, the same command resumes",
    ),
    "nameless": (lambda: OSError("broken"), 1, "error: broken; once that is fixed, the same command resumes"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_disk_that_fails_is_one_line_and_no_traceback(capsys: pytest.CaptureFixture[str], case: str) -> None:
    make, code, line = FAILURES[case]

    def fail() -> None:
        raise make()

    with warnings.catch_warnings():
        assert guarded(fail, as_json=True) == code
    printed = capsys.readouterr()
    assert printed.err == f"{line}\n" and json.loads(printed.out)["exit_code"] == code


def test_warnings_of_tunery_are_one_plain_line() -> None:
    code = """
import sys, warnings
from tunery.train.library_warnings import quiet_libraries
quiet_libraries()
def warn(module, text):
    exec(compile("import warnings; warnings.warn(text)", module, "exec"), {"__name__": module, "text": text})
warn("tunery.store.resume", "step 8 is damaged;\\n step 4 is used")
warn("transformers.trainer", "chatter")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "warning: step 8 is damaged; step 4 is used\n"
