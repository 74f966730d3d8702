"""Paths that are not UTF-8: they cannot stand in a config, and are refused before anything is written."""

import json
import os
from pathlib import Path

import pytest
from test_cli import call

from tiny_runs import write_rows

NAME = "caf\udce9"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return Path(write_rows(tmp_path)["train"])


def test_init_writes_no_config_that_could_not_name_its_data(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rows: Path
) -> None:
    rows.rename(rows.with_name(f"{NAME}.jsonl"))
    before = sorted(os.listdir(tmp_path))
    for out in ([], ["--out", tmp_path / "config.yaml"]):
        code, _, told = call(capsys, "init", tmp_path / f"{NAME}.jsonl", *out)
        assert code == 2 and "both paths must be UTF-8" in told and "Traceback" not in told
    assert sorted(os.listdir(tmp_path)) == before


def test_a_config_or_run_folder_with_such_a_path_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rows: Path
) -> None:
    text = json.dumps({"task": {"kind": "classification"}, "data": {"train": str(rows)}})
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / f"{NAME}.yaml").write_text(text)
    before, run_folder = sorted(os.listdir(tmp_path)), "the path of a run folder must be UTF-8"
    for given, rule in (
        (["init", rows, "--out", tmp_path / f"{NAME}-2.yaml"], "both paths must be UTF-8"),
        (["train", tmp_path / f"{NAME}.yaml", "--out", tmp_path / "run"], "the path of a config must be UTF-8"),
        (["check", tmp_path / f"{NAME}.yaml"], "the path of a config must be UTF-8"),
        (["train", tmp_path / "config.yaml", "--out", tmp_path / NAME], run_folder),
        (["search", tmp_path / "config.yaml", "--out", tmp_path / NAME / "run"], run_folder),
    ):
        code, _, told = call(capsys, *given)
        assert code == 2 and rule in told and "Traceback" not in told
    assert sorted(os.listdir(tmp_path)) == before
