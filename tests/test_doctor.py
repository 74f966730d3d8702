"""`tunery doctor`: what is wrong is found, with what to do about it."""

import json
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from tunery import doctor
from tunery.cli import main
from tunery.doctor import EXTRAS, examine

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code, capsys.readouterr().out


def test_every_extra_is_there_with_a_module_that_it_brings() -> None:
    declared = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(declared) - {"dev"}
    in_tests = {"demo", "tensorboard", "quant", "xlsx", "translation", "postgres"}
    assert all(find_spec(EXTRAS[name][0]) is not None for name in in_tests)


def test_a_sound_machine_has_no_faults_and_says_what_is_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = examine(tmp_path / "runs" / "deeper", network=False)
    assert [fault for fault in found.faults if fault.stops_work] == []
    assert found.packaged_model and found.packages["torch"] == torch.__version__
    assert 0 < found.cores <= found.all_cores and 0 < found.disk_free <= found.disk_total
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"
    code, text = told(["doctor", "--offline", "--out", str(tmp_path)], capsys)
    assert code == 0 and "pip install" in text or "nothing is wrong" in text
    code, text = told(["doctor", "--offline", "--json"], capsys)
    assert code == 0 and json.loads(text)["precision"] in ("fp32", "bf16", "fp16")


def test_what_stops_work_comes_first_and_ends_with_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "requires", lambda name: ["torch>=99", "no-such-package>=1", 'x>=1; extra == "dev"'])
    monkeypatch.setattr(doctor, "PACKAGED_MODEL", "no_such_module")
    monkeypatch.setattr(doctor.constants, "HF_HUB_CACHE", str(tmp_path / "none"))
    monkeypatch.setattr(doctor, "LITTLE_MEMORY", 10**18)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(500)
        faults = examine(tmp_path, network=False).faults
    finally:
        torch.set_num_threads(threads)
    assert [fault.stops_work for fault in faults] == [True] * 3 + [False] * 2
    whats = " | ".join(fault.what for fault in faults)
    assert f"needs torch>=99, but {torch.__version__} is installed" in whats
    assert "no-such-package is not installed" in whats and "no pretrained model" in whats and "500 threads" in whats
    assert all(fault.remedy for fault in faults)
    code, text = told(["doctor", "--offline"], capsys)
    assert code == 1 and "error: tunery needs torch>=99" in text and "to do: pip install 'torch>=99'" in text
