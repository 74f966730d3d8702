"""Every verb leaves other people's files as they are, in a folder that is theirs and in one that is tunery's."""

import json
from pathlib import Path
from typing import Any

import pytest

from fake_cells import Fake
from others_files import NAMES, litter, make_outside, put, state
from tiny_runs import StopAt, config, write_rows
from tunery import compare, ensemble, fit, load, search
from tunery.cli.app import main
from tunery.pages import write_page
from tunery.store.cleaning import clean_run
from tunery.train.artifacts.export import export_run
from tunery.train.predict.inference import evaluate
from tunery.train.predict.predict_file import predict_file


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return int(left.value.code or 0)


@pytest.fixture
def data(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "data").mkdir()
    return write_rows(tmp_path / "data", rows=16)


def theirs(folder: Path) -> dict[str, Any]:
    """The state of what others have there."""
    return {path: found for path, found in state(folder).items() if set(Path(path).parts) & {*NAMES, "outside"}}


SHORT = {"epochs": 2, "batch_size": 8, "log_every": 1}


def test_a_folder_of_others_is_refused_by_every_verb_and_left_as_it_is(
    tmp_path: Path, data: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "project"
    litter(project, outside=make_outside(tmp_path / "outside"))
    put(project / "src" / "model.safetensors", "file", outside=tmp_path)
    document = tmp_path / "config.yaml"
    document.write_text(json.dumps({"task": {"kind": "classification"}, "data": data}))
    before = state(tmp_path)
    verbs: list[list[object]] = [
        *([verb, document, "--out", project] for verb in ("train", "search", "compare")),
        ["worker", "--storage", "sqlite:///nowhere.db", "--out", project],
        ["report", project],
        ["clean", project],
        ["clean", project, "--delete"],
        ["evaluate", project],
        ["predict", project, "--input", data["test"], "--output", tmp_path / "answers.csv"],
        ["predict", project, "--input", data["test"], "--output", project / "notes.txt"],
        ["export", project, tmp_path / "new"],
        ["export", tmp_path / "data", project],
        ["ensemble", project, tmp_path / "new"],
        ["init", data["train"], "--out", project / ".vimrc.tmp"],
    ]
    for arguments in verbs:
        assert call(*arguments) == 2, arguments
        told = capsys.readouterr().err
        assert told.startswith("error: ") and "Traceback" not in told, arguments
        assert state(tmp_path) == before, arguments


def test_others_files_in_a_run_stay_as_they_are(tiny_bert: Path, tmp_path: Path, data: dict[str, str]) -> None:
    run, outside = tmp_path / "run", make_outside(tmp_path / "outside")
    given = config(str(tiny_bert), data, train=SHORT, peft={"method": "lora"})
    with pytest.raises(MemoryError):
        fit(given, [StopAt(3, "crash")], out=run)
    for place in ("", "objects", "resume", "src"):
        litter(run / place, outside=outside)
    before = theirs(tmp_path)
    fit(given, out=run)
    write_page(run)
    clean_run(run, delete=True)
    evaluate(run)
    predict_file(run, Path(data["test"]), tmp_path / "answers.csv")
    export_run(run, tmp_path / "export")
    assert theirs(tmp_path) == before


def test_others_files_in_a_study_stay_as_they_are(tiny_bert: Path, tmp_path: Path, data: dict[str, str]) -> None:
    out, outside = tmp_path / "study", make_outside(tmp_path / "outside")
    given = {
        **config(str(tiny_bert), data, train={**SHORT, "epochs": 1}).model_dump(mode="json"),
        "peft": {"method": "lora"},
        "optim": {"lr": {"low": 1e-4, "high": 1e-2}},
        "search": {"n_trials": 1, "pruner": "none", "ensemble": None},
        "checkpoint": {"keep_best": 2},
    }
    search(given, out=out, engine="here")
    for place in ("", "objects", "trials", "trials/0", "trials/0/resume", "rescored"):
        litter(out / place, outside=outside)
    before = theirs(tmp_path)
    given["search"]["n_trials"] = 2
    search(given, out=out, engine="here")
    write_page(out)
    clean_run(out, delete=True)
    ensemble(out, tmp_path / "joined")
    assert theirs(tmp_path) == before and load(tmp_path / "joined").labels == ("bad", "good")


def test_others_files_in_a_comparison_stay_as_they_are(tiny_bert: Path, tmp_path: Path, data: dict[str, str]) -> None:
    out, outside = tmp_path / "comparison", make_outside(tmp_path / "outside")
    given = config(str(tiny_bert), data).model_dump(mode="json")
    given = {key: given[key] for key in ("task", "data", "model")}
    compare(given, methods=["none", "lora"], seeds=1, out=out, runner=Fake())
    for place in ("", "cells", "cells/lora", "cells/lora/0", "cells/none/0/objects"):
        litter(out / place, outside=outside)
    before = theirs(tmp_path)
    compare(given, methods=["none", "lora"], seeds=2, out=out, runner=Fake(score=lambda method, seed: 0.5 + seed / 10))
    write_page(out)
    clean_run(out, delete=True)
    assert theirs(tmp_path) == before


@pytest.mark.parametrize("place", ["best", "objects", "trials", "report.html"])
def test_what_is_linked_elsewhere_is_refused_before_anything_is_trained(
    tiny_bert: Path, tmp_path: Path, data: dict[str, str], capsys: pytest.CaptureFixture[str], place: str
) -> None:
    run, outside = tmp_path / "run", make_outside(tmp_path / "outside")
    given = config(str(tiny_bert), data, train=SHORT, peft={"method": "lora"})
    with pytest.raises(MemoryError):
        fit(given, [StopAt(1, "crash")], out=run)
    if (run / place).exists():
        (run / place).rename(tmp_path / "moved")
    put(run / place, "link to a folder", outside=outside)
    before = state(tmp_path)
    for arguments in (["train", run / "config.yaml", "--out", run], ["report", run], ["clean", run, "--delete"]):
        assert call(*arguments) == 2
        told = capsys.readouterr().err
        assert f"{place}' is one; put the" in told and "choose an --out there, or link the whole run folder" in told
    assert state(tmp_path) == before
