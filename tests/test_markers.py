"""No test is left out everywhere: what `make test` deselects is run by another target of `.ci/run`."""

import itertools
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
NEED_MORE: Final = {"gpu", "network"}
"""Markers of tests for which the build machine lacks something."""


def pytest_calls() -> list[str]:
    """The command lines of pytest that `.ci/run` comes to."""
    targets = re.findall(r"^make ([\w-]+)$", (ROOT / ".ci" / "run").read_text(), re.M)
    printed = subprocess.run(["make", "-n", *targets], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [line for line in printed.splitlines() if "/pytest " in line]


def selects(call: str, default: str, markers: set[str], folder: str) -> bool:
    """Whether the call runs a test with these markers in this folder of tests."""
    given = re.search(r"-m '([^']+)'|-m (\w+)", call)
    expression = next(filter(None, given.groups())) if given else default
    chosen = eval(expression, {name: name in markers for name in re.findall(r"\w+", expression)})
    folders = re.findall(r" (tests/\w+)", call)
    return bool(chosen) and f"--ignore={folder}" not in call and (not folders or folder in folders)


def test_every_marker_runs_by_some_target() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    names = {line.partition(":")[0] for line in options["markers"]} - NEED_MORE
    default = options["addopts"].partition("-m '")[2].rstrip("'")
    calls = pytest_calls()
    assert "slow" in names and len(calls) >= 4
    for folder in ("tests/fuzz", "tests/train"):
        for count in range(len(names) + 1):
            for markers in itertools.combinations(sorted(names), count):
                assert any(selects(call, default, set(markers), folder) for call in calls), (folder, markers)
