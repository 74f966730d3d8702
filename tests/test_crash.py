"""SIGKILLs of real runs and studies: nothing is lost, and all end bit for bit like undisturbed ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from tiny_runs import write_rows

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "crash.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "kills"),
    [
        ("classification", 10),
        ("regression", 4),
        ("levels", 4),
        ("causal_lm", 4),
        ("mlm", 4),
        ("folds", 6),
        ("pretraining", 6),
    ],
)
def test_killed_runs_and_studies_go_on_and_end_as_if_nothing_had_been(task: str, kills: int, tmp_path: Path) -> None:
    write_rows(tmp_path)
    command = [
        sys.executable,
        str(SCRIPT),
        "--data",
        str(tmp_path),
        "--task",
        task,
        "--kills",
        str(kills),
        "--tiny",
        "--fork",
        "--rows",
        "40",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    killed = [int(line.split()[1]) for line in done.stdout.splitlines() if " kills " in line]
    assert killed == [kills // 2, kills // 2], told
    assert done.stdout.count("metrics lost 0, doubled 0") == 2, told
