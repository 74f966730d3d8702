"""Constraints that hold every direct dependency at the lowest version that pyproject.toml admits.

torch stays at the version of constraints.txt: the CPU builds of others are not on the index.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def lowest(requirements: list[str]) -> dict[str, str]:
    """By name the version after `>=`; what has no lower bound is left out."""
    matches = (re.match(r"([\w-]+)(?:\[[\w,]+\])?>=([\w.]+)", requirement) for requirement in requirements)
    return {match[1]: match[2] for match in matches if match}


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    floors = lowest([*project["dependencies"], *project["optional-dependencies"]["dev"]])
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    for name, version in {**floors, "torch": pinned["torch"]}.items():
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
