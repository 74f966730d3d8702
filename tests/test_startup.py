"""How a process begins."""

import gc
import json
import os
import subprocess
import sys

import pytest

from tunery.startup import imports, set_wait_policy, with_wait_policy, without_collection

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.mark.parametrize("name", WAITING)
def test_what_is_said_about_waiting_is_left_as_it_is(name: str) -> None:
    given = {name: "1", "OTHER": "2"}
    set_wait_policy(given)
    assert given == {name: "1", "OTHER": "2"}


def test_threads_of_processes_that_are_started_sleep_while_they_wait() -> None:
    given = {"OTHER": "2"}
    assert with_wait_policy(given) == {"OTHER": "2", "OMP_WAIT_POLICY": "passive"} and given == {"OTHER": "2"}


def test_the_command_sets_it_before_torch_is_loaded() -> None:
    code = "import json, os, sys; from tunery.cli import main\nsys.argv = ['tunery', '--version']\n"
    code += "try: main()\nexcept SystemExit: print(json.dumps([os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules]))"
    environment = {name: value for name, value in os.environ.items() if name not in WAITING}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout.splitlines()[-1]) == ["passive", False]


def test_collection_is_as_it_was_before() -> None:
    assert gc.isenabled()
    with without_collection():
        assert not gc.isenabled()
        with without_collection():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_was_imported_is_not_looked_through_again() -> None:
    kept = gc.get_freeze_count()
    try:
        with imports():
            made = [[] for _ in range(10_000)]
        assert gc.isenabled() and gc.get_freeze_count() >= kept + len(made)
    finally:
        gc.unfreeze()
