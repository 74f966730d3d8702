"""How much memory there is for a run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tunery.train.memory import limit as limits
from tunery.train.memory.limit import memory_limit


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 MB left, in no control group."""
    if torch.cuda.is_available():
        pytest.skip("with a GPU, the card's memory is the limit of a run")
    for name in ("MEMINFO", "OWN_GROUPS", "GROUPS"):
        monkeypatch.setattr(limits, name, tmp_path / name)
    (tmp_path / "MEMINFO").write_text("MemTotal: 16000 kB\nMemAvailable: 8000 kB\n")
    return tmp_path


def group(folder: Path, **numbers: object) -> None:
    folder.mkdir(parents=True)
    for name, number in numbers.items():
        (folder / f"memory.{name}").write_text(f"{number}\n")


def test_runs_share_what_the_host_has_left(host: Path) -> None:
    assert (memory_limit(1), memory_limit(2)) == (8000 * 1024, 4000 * 1024)
    (host / "MEMINFO").unlink()
    assert memory_limit(1) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_control_group_and_its_parents_limit_the_host(host: Path) -> None:
    (host / "OWN_GROUPS").write_text("0::/jobs/mine\n")
    assert memory_limit(1) == 8000 * 1024  # nothing can be seen of it
    group(host / "GROUPS" / "jobs" / "mine", max="max", current=5, stat="inactive_file 1")
    assert memory_limit(1) == 8000 * 1024
    (host / "GROUPS" / "jobs" / "memory.max").write_text("1000\n")
    (host / "GROUPS" / "jobs" / "memory.current").write_text("600\n")
    (host / "GROUPS" / "jobs" / "memory.stat").write_text("anon 500\ninactive_file 100\n")
    assert memory_limit(1) == 500


def test_groups_of_the_first_generation_count_too(host: Path) -> None:
    (host / "OWN_GROUPS").write_text("5:cpu:/x\n4:memory,hugetlb:/mine\n0::/\n")
    numbers = {"limit_in_bytes": 1000, "usage_in_bytes": 600, "stat": "total_inactive_file 50"}
    group(host / "GROUPS" / "memory" / "mine", **numbers)
    assert memory_limit(1) == 450


@pytest.mark.parametrize(("limit", "counted"), [("RLIMIT_AS", "VmSize"), ("RLIMIT_DATA", "VmData")])
def test_a_limit_of_the_process_counts_too(limit: str, counted: str) -> None:
    """In a process of its own, because a limit cannot be taken back."""
    code = f"""
import re, resource
from pathlib import Path
from tunery.train.memory.limit import memory_limit
used = 1024 * int(re.search(r"{counted}:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
resource.setrlimit(resource.{limit}, (used + (1 << 30),) * 2)
left = memory_limit(1)
assert 0.9 * (1 << 30) < left <= 1 << 30, left
taken = bytearray(1 << 29)
assert memory_limit(1) <= left - (1 << 29)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
